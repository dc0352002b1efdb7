"""Environmental sounds from scratch: ESC-10 and ESC-50 (Piczak 2015), official folds.

    python experiments/run.py --exp 'esc10_*' --data ESC-50-FOLDER   # minutes on a CPU
    python experiments/run.py --exp esc50_cnn6 --data ESC-50-FOLDER

Every fold is the test part once and the others train; nothing is held out, and the last
epoch is evaluated. The folds are the authors': clips of one source lie in one fold, but
for two sources of ESC-50 (131943 and 134049, in folds 2 and 3).
"""

from tfhier.experiment import Experiment

_esc10 = Experiment(
    table="ESC-10 from scratch",
    baseline="esc10_mobilenet_v1",
    dataset="esc10",
    taxonomy="esc10",
    frontend="primates_16k",  # 250 frames a clip, half of PANNs'
    clip_seconds=5.0,
    head="flat",
    fine_weight=1.0,
    loss="bce",
    selection="last",
    batch_size=16,
    epochs=80,
    learning_rate=1e-3,
    warmup_epochs=1,
    decay_epochs=40,
    weight_decay=1e-4,
    decoupled_weight_decay=True,
    ema_decay=0.99,
    spec_time_width=32,
    spec_mel_width=8,
    mixup_alpha=0.3,
    roll_seconds=2.5,
    gain_db=6.0,
    time_stretch=0.1,
    pitch_quarter_tones=3,
    seeds=(0,),
)
esc10_cnn6 = _esc10.but(row="CNN6, width 1/2", backbone="cnn6", width=0.5)
esc10_cnn10 = _esc10.but(row="CNN10, width 1/4", backbone="cnn10", width=0.25)
esc10_mobilenet_v1 = _esc10.but(
    row="MobileNetV1, width 1/2", backbone="mobilenet_v1", width=0.5
)

_esc50 = _esc10.but(
    table="ESC-50 from scratch",
    baseline="esc50_cnn6",
    dataset="esc50",
    taxonomy="esc50",
    epochs=100,
    decay_epochs=50,
    # A quarter of the channels, for a CPU.
    small={"width": 0.25, "epochs": 40, "decay_epochs": 20},
)
esc50_cnn6 = _esc50.but(row="CNN6", backbone="cnn6")
esc50_cnn10 = _esc50.but(row="CNN10", backbone="cnn10")
esc50_mobilenet_v1 = _esc50.but(row="MobileNetV1", backbone="mobilenet_v1")

# -- From YAMNet, pretrained on AudioSet: its embeddings, computed once, and every head

_yamnet = Experiment(
    table="ESC-50 from YAMNet",
    baseline="esc50_yamnet_flat",
    dataset="esc50",
    taxonomy="esc50",  # 50 classes in 5 categories
    frontend="yamnet_16k",
    backbone="yamnet",
    pretrained="yamnet",
    frozen=True,
    dropout_scale=0.0,
    spec_augment=False,
    clip_seconds=5.0,
    hidden_units=512,
    hidden_dropout=0.5,
    selection="last",
    batch_size=32,
    epochs=40,
    learning_rate=1e-3,
    warmup_epochs=1,
    decay_epochs=20,
    weight_decay=1e-4,
    mixup_alpha=0.3,
    fine_weight=0.8,
    seeds=(0, 1, 2),
)
esc50_yamnet_flat = _yamnet.but(row="Flat", head="flat", fine_weight=1.0)
esc50_yamnet_levelwise = _yamnet.but(row="Level-wise", head="levelwise")
esc50_yamnet_consistent = _yamnet.but(
    row="Level-wise with loss items", head="levelwise", consistency_weight=0.1
)
esc50_yamnet_sdt = _yamnet.but(row="Top-down (SDT)", head="sdt")
esc50_yamnet_gap = _yamnet.but(row="Grouped average pooling (GAP)", head="gap")
esc50_yamnet_lp = _yamnet.but(row="Linear projection (LP)", head="lp")
esc50_yamnet_gmp = _yamnet.but(row="Grouped max-pooling (GMP)", head="gmp")
esc50_yamnet_resatt = _yamnet.but(row="ResAtt", head="resatt")
esc50_yamnet_resatt_prior = _yamnet.but(
    row="ResAtt from the taxonomy (ours)",
    head="resatt",
    attention_prior=6.0,
    attention_scale=0.02,
)
