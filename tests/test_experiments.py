"""The files in `experiments/`: every experiment builds, and every design trains."""

from pathlib import Path

import pytest

from tests import tiny
from tests.train.test_run import Recorder
from tfhier import catalogue, tagger
from tfhier.experiment import Experiment
from tfhier.taxonomy import Taxonomy
from tfhier.train import run as training

EXPERIMENTS = catalogue.find(Path(__file__).parents[1] / "experiments")
FEATURE_SHAPES = {"X": (10, 128), "features": (34,)}
TABLE_1 = {
    "openmic_flat": "flat",
    "openmic_levelwise": "levelwise",
    "openmic_consistent": "levelwise",
    "openmic_sdt": "sdt",
    "openmic_gap": "gap",
    "openmic_lp": "lp",
    "openmic_gmp": "gmp",
    "openmic_resatt": "resatt",
}
# fine mAP, coarse mAP and coarse F1 in percent, from the paper's Table 1
FIGURES = {
    "openmic_flat": (85.6, 89.6, 84.4),
    "openmic_consistent": (85.8, 90.4, 85.2),
    "openmic_sdt": (85.4, 90.4, 85.3),
    "openmic_gap": (85.6, 87.6, 84.6),
    "openmic_lp": (85.8, 70.9, 67.6),
    "openmic_gmp": (85.9, 90.7, 85.4),
    "openmic_resatt": (86.0, 90.7, 85.5),
}


# devel mAP and UAR in percent, from Pellegrini's Tables 2 and 3
PRIMATES = {
    "primates_cnn6_8k": (92.9, 88.2),
    "primates_cnn10_8k": (95.4, 91.9),
    "primates_mobilenet_v1_8k": (91.4, 88.0),
    "primates_resnet22_8k": (93.8, 91.2),
    "primates_wide_resnet28_8k": (92.8, 87.7),
    "primates_resnet22_16k": (95.7, 92.6),
    "primates_cnn10_16k": (97.0, 93.6),
    "primates_ablation_16k_none": (94.7, 90.9),
    "primates_ablation_16k_balanced": (94.7, 92.1),
    "primates_ablation_16k_spec_augment": (94.1, 92.1),
    "primates_ablation_16k_mixup": (96.0, 92.5),
    "primates_ablation_16k_both": (97.0, 93.6),
    "primates_ablation_8k_none": (87.9, 78.7),
    "primates_ablation_8k_balanced": (89.8, 82.6),
    "primates_ablation_8k_spec_augment": (92.6, 88.1),
    "primates_ablation_8k_mixup": (92.4, 88.8),
    "primates_ablation_8k_both": (93.8, 91.2),
}
# What the rows of a table may differ in.
_HEADS = {
    "head",
    "fine_weight",
    "consistency_weight",
    "attention_prior",
    "attention_scale",
    "flat_pool",
}
_TRICKS = {"sampling", "loss", "spec_augment", "mixup_alpha"}
VARIED = {
    "Pellegrini 2021, Table 2": {"backbone", "frontend"},
    "Pellegrini 2021, Table 3, CNN10-16k": _TRICKS,
    "Pellegrini 2021, Table 3, ResNet22-8k": _TRICKS,
    "Pellegrini 2021, Section 5": {
        "backbone", "frontend", "initial", "frozen", "fit", "ema_decay",
    },
    "ESC-10 from scratch": {"backbone", "width"},
    "ESC-50 from scratch": {"backbone"},
    # A pretrained body needs its front end, a neck, and nothing random before it.
    "Gibbons in other forests": {
        "backbone", "frontend", "pretrained", "frozen", "dropout_scale",
        "spec_augment", "hidden_units", "hidden_dropout", "width",
        "backbone_rate",
    },
    "Own recordings": {"backbone"},
    "Table 1, YAMNet trained on": {*_HEADS, "initial"},
}  # fmt: skip


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Clips with exactly one label."""
    with tiny.data_set(tmp_path_factory.mktemp("single"), single_label=True) as folder:
        yield folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data")) as folder:
        yield folder


def designs(profile: str) -> dict[str, Experiment]:
    """Return the experiments that have something no earlier one has, by their names."""
    found, seen = {}, set()
    for name, each in EXPERIMENTS.items():
        chosen = each.profile(profile)
        new = {
            ("backbone", chosen.backbone),
            ("head", chosen.head, bool(chosen.consistency_weight)),
            ("input", chosen.frontend, chosen.features),
            ("augmentation", bool(chosen.mixup_alpha), chosen.spec_augment),
            ("sound", bool(chosen.time_stretch), bool(chosen.roll_seconds)),
            ("loss", chosen.loss, chosen.sampling, bool(chosen.ema_decay)),
        }
        if not new <= seen:
            found[name] = chosen
        seen |= new
    return found


def test_table_1_is_complete():
    table = EXPERIMENTS["openmic_resatt"].table
    rows = {name: e for name, e in EXPERIMENTS.items() if e.table == table}
    assert {name: each.head for name, each in rows.items()} == TABLE_1
    for name, each in rows.items():
        figures = each.paper and (
            each.paper["test"]["fine"]["mAP"],
            each.paper["test"]["coarse"]["mAP"],
            each.paper["test"]["coarse"]["f1"],
        )
        assert figures == FIGURES.get(name, {})
    assert rows["openmic_flat"].fine_weight == 1.0
    assert rows["openmic_flat"].grid == {}
    assert rows["openmic_consistent"].consistency_weight > 0
    assert rows["openmic_levelwise"].consistency_weight == 0


@pytest.mark.parametrize("name", [name for name in TABLE_1 if name != "openmic_flat"])
def test_the_paper_searches_five_weights_with_eight_seeds(name):
    grid = EXPERIMENTS[name].grid
    assert dict(grid) == {"fine_weight": (0.70, 0.75, 0.80, 0.85, 0.90)}
    assert len(EXPERIMENTS[name].seeds) == 8
    small = EXPERIMENTS[name].profile("small")
    assert len(list(small.runs())) == 1


def test_the_primates_tables_are_complete():
    figures = {
        name: tuple(each.paper["test"]["species"].values())
        for name, each in EXPERIMENTS.items()
        if each.table.startswith("Pellegrini 2021, Table")
    }
    assert figures == PRIMATES


def test_figures_without_the_average_and_of_hidden_labels_are_the_papers():
    """The last row of Table 3, and the test UARs of Table 2."""
    live = {
        name: tuple(each.paper["test_live"]["species"].values())
        for name, each in EXPERIMENTS.items()
        if "test_live" in each.paper
    }
    assert live == {
        "primates_ablation_16k_both": (96.7, 93.0),
        "primates_ablation_8k_both": (93.1, 90.0),
    }
    hidden = {
        name: each.paper["conditions"]["test"]["species"]["uar"]
        for name, each in EXPERIMENTS.items()
        if each.table == "Pellegrini 2021, Table 2"
        and "test" in each.paper["conditions"]
    }
    assert hidden == {
        "primates_cnn10_8k": 90.6,
        "primates_resnet22_8k": 89.1,
        "primates_cnn10_16k": 92.5,
    }


def test_own_recordings_are_trained_as_the_papers_are():
    own, paper = (
        EXPERIMENTS[n].settings() for n in ("own_cnn10", "primates_cnn10_16k")
    )
    differing = {name for name in own if own[name] != paper[name]}
    # And as loud as they come: a recorder's level is no mark of a label.
    assert differing == {"dataset", "taxonomy", "clip_seconds", "selection", "gain_db"}


def test_primates_train_as_the_paper_says():
    chosen = EXPERIMENTS["primates_cnn10_16k"]
    assert chosen.epochs * chosen.steps_per_epoch == 60_000
    assert (chosen.batch_size, chosen.learning_rate) == (32, 1e-3)
    assert (chosen.ema_decay, chosen.ema_start) == (0.995, 15_000)
    assert (chosen.spec_time_width, chosen.spec_mel_width) == (16, 8)
    assert (chosen.spec_stripes, chosen.spec_per) == ((0, 2), "batch")
    assert 0 < chosen.mixup_alpha < 1 and chosen.mixup_per == "batch"
    tricks = {
        "none": ("uniform", False, False),
        "balanced": ("balanced", False, False),
        "spec_augment": ("balanced", True, False),
        "mixup": ("balanced", False, True),
        "both": ("balanced", True, True),
    }
    for rate in ("16k", "8k"):
        for name, expected in tricks.items():
            row = EXPERIMENTS[f"primates_ablation_{rate}_{name}"]
            mixes = row.mixup_alpha > 0
            assert (row.sampling, row.spec_augment, mixes) == expected
            # Binary cross-entropy when mixup is used, categorical otherwise, Sec. 3.4.
            assert row.loss == ("bce" if mixes else "cce")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_told_apart_and_has_its_baseline(name):
    chosen = EXPERIMENTS[name]
    assert chosen.row
    assert chosen.table
    baseline = EXPERIMENTS[chosen.baseline]
    assert baseline.table == chosen.table
    same_row = [
        other
        for other, each in EXPERIMENTS.items()
        if (each.table, each.row) == (chosen.table, chosen.row)
    ]
    assert same_row == [name]
    # A difference tells of what the table is about and of nothing else.
    allowed = VARIED.get(chosen.table, _HEADS)
    for profile in ("paper", "small"):
        mine, its = chosen.profile(profile).settings(), baseline.profile(profile)
        differing = {key for key in mine if mine[key] != its.settings()[key]}
        assert differing <= allowed


@pytest.mark.parametrize("name", designs("paper"))
def test_the_papers_networks_build(name):
    chosen = EXPERIMENTS[name]
    shape = FEATURE_SHAPES.get(chosen.features)
    taxonomy = Taxonomy.read(chosen.taxonomy or "esc10")
    width = 0.05 if chosen.backbone == "cnn14" else chosen.width
    frontend, body = tagger.build(
        chosen.but(width=width), taxonomy, feature_shape=shape
    )
    assert (frontend is None) == bool(chosen.features)
    assert {level: t.shape[1] for level, t in body.output.items()} == taxonomy.sizes


@pytest.mark.parametrize("name", designs("small"))
def test_every_design_trains_one_step(data, single, tmp_path, name):
    data = single if EXPERIMENTS[name].loss == "cce" else data
    chosen = designs("small")[name].but(
        # Trained alone: what it starts from on its own data is not there.
        initial=(),
        frozen=False,
        fit="gradient",
        steps_per_epoch=1,
        taxonomy=str(data / "taxonomy.csv"),
        features="X" if EXPERIMENTS[name].features else "",
        num_folds=0,
        grid={},
        width=0.05,
        clip_seconds=tiny.SECONDS,
        crop_seconds=0.4,
        epochs=1,
        batch_size=64,
    )
    bundle = tiny.bundle(data, chosen)
    parts = bundle.deal(chosen, seed=0, fold=0)
    progress = Recorder()
    training.train(
        chosen, bundle, tmp_path, seed=0, fold=0, parts=parts, progress=progress
    )
    assert len(progress.losses) == 1
    assert 0 < progress.losses[0] < 5
    assert (tmp_path / "best.keras").is_file()
