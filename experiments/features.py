"""Every head on a table of precomputed features, cross-validated: not from a paper.

    python experiments/run.py --exp 'features_*' --data FILE.npz

FILE has OpenMIC's arrays `Y_true`, `Y_mask`, `sample_key` and the features as one more
array (clips, units) or (clips, frames, units), here called `features`; another name is
given by `--set features=X`. 5 folds x 3 seeds; differences to `features_flat` are
paired by fold and seed, with intervals corrected for the overlap of training folds.
About 10 minutes for 3,000 clips on 2 CPU cores.
"""

from tfhier.experiment import Experiment

_folds = Experiment(
    table="Heads on features, cross-validated",
    baseline="features_flat",
    dataset="openmic",
    taxonomy="openmic",
    features="features",
    num_folds=5,
    backbone="mlp",
    batch_size=64,
    epochs=20,
    learning_rate=1e-3,
    warmup_epochs=1,
    weight_decay=1e-4,
    spec_augment=False,
    fine_weight=0.8,
    seeds=(0, 1, 2),
)

features_flat = _folds.but(
    row="Flat, maximum at inference", head="flat", fine_weight=1.0
)
features_levelwise = _folds.but(row="Level-wise", head="levelwise")
features_consistent = _folds.but(
    row="Level-wise with loss items", head="levelwise", consistency_weight=0.1
)
features_sdt = _folds.but(row="Top-down (SDT)", head="sdt")
features_gap = _folds.but(row="Grouped average pooling (GAP)", head="gap")
features_lp = _folds.but(row="Linear projection (LP)", head="lp")
features_gmp = _folds.but(row="Grouped max-pooling (GMP)", head="gmp")
features_resatt = _folds.but(row="ResAtt", head="resatt")
