"""Keras layers of the house, one public class a file, usable on their own."""

from tfhier.layers.clipped_attention_pool import ClippedAttentionPool
from tfhier.layers.global_weighted_rank_pool import GlobalWeightedRankPool
from tfhier.layers.grouped_average_pool import GroupedAveragePool
from tfhier.layers.grouped_max_pool import GroupedMaxPool
from tfhier.layers.grouped_noisy_or import GroupedNoisyOr
from tfhier.layers.log_mel import LogMel
from tfhier.layers.matmul_conv2d import MatmulConv2D
from tfhier.layers.pad_frames import PadFrames
from tfhier.layers.padded_average_pool import PaddedAveragePool
from tfhier.layers.patches import Patches
from tfhier.layers.residual_attention import ResidualAttention
from tfhier.layers.soft_decision_tree import SoftDecisionTree
from tfhier.layers.spec_augment import SpecAugment
from tfhier.layers.two_step_attention_pool import TwoStepAttentionPool
from tfhier.layers.unfold import Unfold

__all__ = [
    "ClippedAttentionPool",
    "GlobalWeightedRankPool",
    "GroupedAveragePool",
    "GroupedMaxPool",
    "GroupedNoisyOr",
    "LogMel",
    "MatmulConv2D",
    "PadFrames",
    "PaddedAveragePool",
    "Patches",
    "ResidualAttention",
    "SoftDecisionTree",
    "SpecAugment",
    "TwoStepAttentionPool",
    "Unfold",
]
