"""Recipes: settings that hold for more than one table of experiments."""

from tfhier.experiment import Experiment

# Calls of animals in a second or a few: the training of Pellegrini (Interspeech 2021)
# with balanced sampling, SpecAugment, mixup and an average of the weights.
CALLS = Experiment(
    dataset="folder",
    taxonomy="",  # the labels of the data
    frontend="primates_16k",
    backbone="cnn10",
    clip_seconds=3.0,
    head="flat",
    fine_weight=1.0,
    loss="bce",
    sampling="balanced",
    batch_size=32,
    epochs=300,
    steps_per_epoch=200,  # 60,000 iterations
    learning_rate=1e-3,
    warmup_epochs=0,
    weight_decay=0.0,
    ema_decay=0.995,
    ema_start=15_000,
    spec_time_width=16,
    spec_mel_width=8,
    spec_stripes=(0, 2),
    spec_per="batch",
    mixup_alpha=0.5,
    mixup_per="batch",
    seeds=(0, 1, 2),
    # A narrow network and 1,000 iterations for a few hundred clips and a CPU; an
    # average over fewer of them.
    small={
        "width": 0.25,
        "epochs": 20,
        "steps_per_epoch": 50,
        "ema_decay": 0.98,
        "ema_start": 250,
        "seeds": (0,),
    },
)

# How loud a recorder is, and how far a label's examples were, is no mark of a label.
OWN_RECORDINGS = CALLS.but(table="Own recordings", gain_db=20.0)
