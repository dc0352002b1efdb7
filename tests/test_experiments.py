"""The files in `experiments/`: every experiment builds, and every design trains."""

from pathlib import Path

import pytest

from tests import tiny
from tests.train.test_run import Recorder
from tfhier import experiment, tagger
from tfhier.taxonomy import Taxonomy
from tfhier.train import run as training

EXPERIMENTS = experiment.find(Path(__file__).parents[1] / "experiments")
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


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data")) as folder:
        yield folder


def designs(profile: str) -> dict[str, experiment.Experiment]:
    """Return the first experiment of every different design, by its name."""
    found = {}
    for name, each in EXPERIMENTS.items():
        chosen = each.profile(profile)
        design = (
            chosen.backbone, chosen.head, bool(chosen.consistency_weight),
            bool(chosen.mixup_alpha), chosen.spec_augment,
        )  # fmt: skip
        found.setdefault(design, (name, chosen))
    return dict(found.values())


def test_table_1_is_complete():
    table = EXPERIMENTS["openmic_resatt"].table
    rows = {name: e for name, e in EXPERIMENTS.items() if e.table == table}
    assert {name: each.head for name, each in rows.items()} == TABLE_1
    for name, each in rows.items():
        figures = each.paper and (
            each.paper["fine"]["mAP"],
            each.paper["coarse"]["mAP"],
            each.paper["coarse"]["f1"],
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
    # A difference tells of one thing alone.
    allowed = {"head", "fine_weight", "consistency_weight"}
    for profile in ("paper", "small"):
        mine, its = chosen.profile(profile).settings(), baseline.profile(profile)
        differing = {key for key in mine if mine[key] != its.settings()[key]}
        assert differing <= allowed


@pytest.mark.parametrize("name", designs("paper"))
def test_the_papers_networks_build(name):
    chosen = EXPERIMENTS[name]
    shape = FEATURE_SHAPES.get(chosen.features)
    taxonomy = Taxonomy.read(chosen.taxonomy)
    width = 0.05 if chosen.backbone == "cnn14" else chosen.width
    frontend, body = tagger.build(
        chosen.but(width=width), taxonomy, feature_shape=shape
    )
    assert (frontend is None) == bool(chosen.features)
    assert {level: t.shape[1] for level, t in body.output.items()} == taxonomy.sizes


@pytest.mark.parametrize("name", designs("small"))
def test_every_design_trains_one_step(data, tmp_path, name):
    chosen = designs("small")[name].but(
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
