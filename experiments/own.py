"""One's own recordings: the primates' recipe on a folder of calls or a table of them.

    python experiments/run.py --exp own_cnn10 --data calls/      # a folder a class
    python experiments/run.py --exp own_cnn10 --data calls.csv   # file,start,end,label
    python experiments/run.py --exp own_cnn10 --data raven/      # selection tables

Labels come from the data; a taxonomy of them is given by `--set taxonomy=FILE.csv`.
Clips of one recording (or of what a column `group` says) never fall on both sides. What
clips look like and what happens to odd ones: docs/data.md.
"""

from tfhier.experiment import Experiment

_own = Experiment(
    table="Own recordings",
    baseline="own_cnn10",
    dataset="folder",
    taxonomy="",
    frontend="primates_16k",
    clip_seconds=3.0,
    head="flat",
    fine_weight=1.0,
    sampling="balanced",
    batch_size=32,
    epochs=60,
    steps_per_epoch=50,
    learning_rate=1e-3,
    warmup_epochs=1,
    decay_epochs=30,
    weight_decay=0.0,
    ema_decay=0.99,
    spec_time_width=16,
    spec_mel_width=8,
    spec_stripes=(0, 2),
    mixup_alpha=0.3,
    seeds=(0,),
    small={"width": 0.25, "epochs": 20, "decay_epochs": 10},
)
own_cnn10 = _own.but(row="CNN10", backbone="cnn10")
own_mobilenet_v1 = _own.but(row="MobileNetV1", backbone="mobilenet_v1")
