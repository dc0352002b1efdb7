"""Gibbon calls in forests that were not trained on, at known signal-to-noise ratios.

    python experiments/run.py --exp 'gibbons_*' --data PRIMATES_CC0-FOLDER

Real calls are mixed into real soundscapes (`tfhier.data.gibbons` has the recipe):
trained on Borneo, tested on Sulawesi with calls of other recordings at 0, 10 and 20 dB.
The report has precision against recall at each ratio.
"""

from tfhier.experiment import Experiment

_gibbons = Experiment(
    table="Gibbons from scratch",
    baseline="gibbons_cnn10",
    dataset="gibbons",
    taxonomy="gibbons",
    frontend="primates_16k",
    clip_seconds=3.0,
    head="flat",
    fine_weight=1.0,
    loss="bce",
    sampling="balanced",
    selection="last",
    batch_size=32,
    epochs=20,
    steps_per_epoch=50,
    learning_rate=1e-3,
    warmup_epochs=1,
    decay_epochs=10,
    weight_decay=0.0,
    width=0.25,
    ema_decay=0.99,
    spec_time_width=16,
    spec_mel_width=8,
    spec_stripes=(0, 2),
    mixup_alpha=0.3,
    seeds=(0, 1, 2),
)
gibbons_cnn10 = _gibbons.but(row="CNN10, width 1/4", backbone="cnn10")
gibbons_mobilenet_v1 = _gibbons.but(
    row="MobileNetV1, width 1/2", backbone="mobilenet_v1", width=0.5
)
