"""Learning-rate schedules as functions of the step."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfhier")
class WarmupHoldDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from `peak / warmup_steps` to `peak`, stays, and falls linearly.

    The rise is that of the first 5 epochs of Zhong et al. (2023, Sec. 4.2); they say
    nothing about what comes after, so it stays. The optional fall over the last
    `decay_steps` ends at a hundredth of the peak.

    Args:
        peak: float > 0. The highest learning rate.
        total_steps: int > 0. Steps of the whole training.
        warmup_steps: int >= 0. Steps until the peak is reached; 0 for none.
        decay_steps: int >= 0. Steps of the fall; 0 for none.
    """

    FINAL_SHARE = 0.01

    def __init__(
        self,
        peak: float,
        total_steps: int,
        *,
        warmup_steps: int = 0,
        decay_steps: int = 0,
    ):
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        share = ops.ones_like(step)
        if self.warmup_steps:
            share = ops.minimum(share, (step + 1.0) / self.warmup_steps)
        if self.decay_steps:
            left = (self.total_steps - step) / self.decay_steps
            fall = self.FINAL_SHARE + (1.0 - self.FINAL_SHARE) * left
            share = ops.minimum(share, ops.maximum(fall, self.FINAL_SHARE))
        return self.peak * share

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
        }
