"""Sweeps: the setting chosen on validation, summaries by hand, nothing done twice."""

import dataclasses
import json
import shutil
import time

import keras
import numpy as np
import pytest

from tests import tiny
from tfhier import compare, saved, tagger, yardstick
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.files import locked, read_json, write_json
from tfhier.network_digest import network_digest
from tfhier.train import run as training
from tfhier.train import sweep, yardsticks
from tfhier.train.job import Job
from tfhier.train.request import run_request


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data")) as folder:
        yield folder


def make_job(data, folder, experiment=None, *, bundle=None, name="gmp"):
    experiment = experiment or tiny.on_features(data)
    return Job(
        name=name,
        profile="small",
        experiment=experiment,
        paper=experiment.but(width=0.5),
        bundle=bundle or tiny.bundle(data, experiment),
        folder=folder,
        command="a command",
    )


@pytest.fixture
def never_train(monkeypatch):
    """Make any training a failure."""

    def refuse(*_, **__):
        raise AssertionError("this must not train")

    monkeypatch.setattr(training, "train", refuse)


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory):
    """A finished sweep: 2 rates, of which one learns nothing, x 2 seeds."""
    grid = {"learning_rate": (1e-7, 0.05), "head": ("gmp",)}
    experiment = tiny.on_features(data, grid=grid, seeds=(0, 3), epochs=4)
    job = make_job(data, tmp_path_factory.mktemp("searched"), experiment)
    return job, sweep.run(job)


# -- The choice and the summary --------------------------------------------------------


def test_each_run_has_a_folder_named_by_what_varies(searched):
    job, _ = searched
    assert {path.parent.name + "/" + path.name for path in job.folder.glob("*/*")} == {
        f"learning_rate={rate}/seed{seed}" for rate in (1e-07, 0.05) for seed in (0, 3)
    }


def test_the_setting_with_the_lowest_mean_validation_loss_is_chosen(searched):
    job, summary = searched
    means = []
    for rate in (1e-07, 0.05):
        folders = [job.folder / f"learning_rate={rate}" / f"seed{s}" for s in (0, 3)]
        results = [read_json(folder / "metrics.json") for folder in folders]
        means.append(np.mean([r["validation"]["fine"]["loss"] for r in results]))
    assert means[1] < means[0]
    assert [entry["validation_fine_loss"] for entry in summary["choice"]] == (
        pytest.approx(means)
    )
    assert summary["chosen"] == {"learning_rate": 0.05, "head": "gmp"}
    assert summary["settings"]["learning_rate"] == 0.05
    assert summary["settings"]["seeds"] == [0, 3]
    assert summary["paper_settings"]["width"] == 0.5


def test_the_summary_is_of_the_chosen_runs_alone(searched):
    job, summary = searched
    assert [(run["seed"], run["fold"]) for run in summary["runs"]] == [(0, 0), (3, 0)]
    losses = {}
    for run in summary["runs"]:
        assert run["folder"].startswith("learning_rate=0.05/")
        own = read_json(job.folder / run["folder"] / "metrics.json")
        assert own == {key: run[key] for key in own}
        losses[run["folder"]] = run["validation"]["fine"]["loss"]
    assert summary["best_run"] == min(losses, key=losses.get)


def test_means_and_spreads_by_hand(searched):
    _, summary = searched
    for part in ("test", "test_truth"):
        for level in ("fine", "coarse"):
            for metric in ("roc_auc", "mAP", "f1"):
                a, b = (run[part][level][metric] for run in summary["runs"])
                figure = summary[part][level][metric]
                assert figure["mean"] == pytest.approx((a + b) / 2)
                assert figure["std"] == pytest.approx(abs(a - b) / np.sqrt(2))


def test_an_undefined_loss_is_never_the_lowest():
    assert sweep._lowest([None, 0.5, float("nan"), 0.4]) == 3
    assert sweep._lowest([None, None]) == 0


def test_the_summary_says_what_it_was_made_of(searched):
    job, summary = searched
    assert summary["data"]["name"] == "tiny"
    assert summary["data"]["kind"] == "other"
    truth = job.bundle.truth["coarse"][0]
    known, seen = job.bundle.labellings["coarse"]
    assert summary["data"]["wrong_negatives"] == {
        "fine": 0.0,
        "coarse": pytest.approx(truth[seen & (known == 0)].mean()),
    }
    assert (summary["data"]["num_train"], summary["data"]["num_test"]) == (36, 12)
    observed = job.bundle.clips.observed
    assert summary["data"]["observed_per_clip"] == observed.sum() / 48
    assert summary["command"] == "a command"
    assert {"date", "keras", "tensorflow", "tfhier"} <= set(summary["machine"])
    text = (job.folder / "metrics.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text) == summary


# -- The same command again ------------------------------------------------------------


def test_a_finished_sweep_trains_nothing_and_says_the_same(searched, never_train):
    job, summary = searched
    began = time.perf_counter()
    again = sweep.run(job)
    assert time.perf_counter() - began < 1.0
    assert again == summary


def test_a_further_seed_trains_only_that_seed(data, tmp_path, monkeypatch):
    sweep.run(make_job(data, tmp_path))
    trained = []
    train = training.train

    def record(*arguments, seed, **options):
        trained.append(seed)
        return train(*arguments, seed=seed, **options)

    monkeypatch.setattr(training, "train", record)
    more = make_job(data, tmp_path, tiny.on_features(data, seeds=(0, 1)))
    assert [run["seed"] for run in sweep.run(more)["runs"]] == [0, 1]
    assert trained == [1]


def test_other_settings_in_the_folder_are_named(searched, data, never_train):
    job, _ = searched
    changed = dataclasses.replace(job, experiment=job.experiment.but(batch_size=4))
    before = (job.folder / "metrics.json").read_bytes()
    with pytest.raises(InputError, match=r"batch_size 8 -> 4.*--fresh"):
        sweep.run(changed)
    assert (job.folder / "metrics.json").read_bytes() == before


def test_other_labels_in_a_folder_are_noticed(data, tmp_path):
    """The same number of clips with other labels is other data."""
    job = make_job(data, tmp_path / "results")
    sweep.run(job)
    other = tiny.write(tmp_path / "tiny", seed=1, with_audio=False)
    changed = dataclasses.replace(job, bundle=tiny.bundle(other, job.experiment))
    with pytest.raises(InputError, match="--fresh"):
        sweep.run(changed)


def test_a_second_process_is_told(searched, never_train):
    job, _ = searched
    with (
        locked(job.folder / ".lock", task="working on gmp"),
        pytest.raises(InputError, match="Another process is working on gmp"),
    ):
        sweep.run(job)


def test_fresh_starts_over(data, tmp_path):
    job = make_job(data, tmp_path)
    sweep.run(job)
    (tmp_path / "seed0" / "stale.txt").write_text("")
    (tmp_path / "report.html").write_text("")
    changed = dataclasses.replace(job, experiment=job.experiment.but(batch_size=4))
    summary = sweep.run(changed, fresh=True)
    assert summary["settings"]["batch_size"] == 4
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".lock", "metrics.json", "seed0", "yardstick.json"}
    assert not (tmp_path / "seed0" / "stale.txt").exists()


# -- Evaluation alone ------------------------------------------------------------------


def test_test_only_evaluates_the_saved_model_again(data, tmp_path, monkeypatch):
    job = make_job(data, tmp_path)
    summary = sweep.run(job)
    model = tmp_path / "seed0" / "best.keras"
    before = model.stat().st_mtime_ns
    metrics = tmp_path / "seed0" / "metrics.json"
    write_json(metrics, {"validation": "stale"})

    def refuse(*_, **__):
        raise AssertionError("this must not train")

    monkeypatch.setattr(training, "train", refuse)
    assert sweep.run(job, test_only=True)["runs"] == summary["runs"]
    assert model.stat().st_mtime_ns == before
    assert read_json(metrics)["test"] == summary["runs"][0]["test"]


def test_test_only_without_a_model_says_so(data, tmp_path, never_train):
    with pytest.raises(InputError, match=r"no model .*seed0/best\.keras"):
        sweep.run(make_job(data, tmp_path), test_only=True)
    assert not (tmp_path / "metrics.json").exists()


def test_fresh_with_test_only_keeps_the_models(data, tmp_path, never_train):
    """Asking for both would delete what is to be evaluated."""
    model = tmp_path / "seed0" / "best.keras"
    model.parent.mkdir()
    model.write_bytes(b"hours of work")
    with pytest.raises(InputError):
        sweep.run(make_job(data, tmp_path), fresh=True, test_only=True)
    assert model.is_file()


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_broken_model_is_named(searched, tmp_path, keep):
    job, summary = searched
    content = (job.folder / summary["best_run"] / "best.keras").read_bytes()
    size = int(keep * len(content)) if isinstance(keep, float) else keep
    (tmp_path / "best.keras").write_bytes(content[:size])
    with pytest.raises(InputError, match=r"best\.keras is no usable Keras model"):
        saved.load(tmp_path / "best.keras", job.bundle.taxonomy)


def test_a_model_of_another_taxonomy_is_refused(searched):
    job, summary = searched
    other = job.bundle.taxonomy.flat(tiny.LABELS)
    with pytest.raises(InputError, match=r"'fine': 6.*taxonomy has.*'label': 6"):
        saved.load(job.folder / summary["best_run"] / "best.keras", other)


# -- Folds -----------------------------------------------------------------------------


def test_folds_test_every_clip_once_a_seed(data, tmp_path):
    experiment = tiny.on_features(
        data, num_folds=2, seeds=(0, 1), epochs=1, batch_size=16
    )
    job = make_job(data, tmp_path, experiment)
    summary = sweep.run(job)
    assert len(summary["runs"]) == 4
    for seed in (0, 1):
        keys = []
        for fold in (0, 1):
            folder = tmp_path / f"seed{seed}" / f"fold{fold}"
            with np.load(folder / "scores.npz", allow_pickle=False) as scores:
                keys += scores["sample_key"].tolist()
                assert scores["scores_fine"].shape == (24, 6)
        assert sorted(keys) == list(tiny.KEYS)
    # The same seeds against themselves: no difference, paired by seed and fold.
    figure = compare.paired_differences(summary, summary)["fine"]["mAP"]
    assert figure == {"mean": 0.0, "low": 0.0, "high": 0.0, "num_pairs": 4}


# -- The yardstick ---------------------------------------------------------------------


def fits(monkeypatch) -> list:
    """Record how often the yardstick is worked out anew."""
    calls = []
    original = yardsticks.yardstick.logistic_regression

    def record(*arguments, **settings):
        calls.append(0)
        return original(*arguments, **settings)

    monkeypatch.setattr(yardsticks.yardstick, "logistic_regression", record)
    return calls


def test_the_yardstick_is_worked_out_once_a_folder(data, tmp_path, monkeypatch):
    calls = fits(monkeypatch)
    job = make_job(data, tmp_path / "results")
    first = yardsticks.of_job(job, job.experiment)
    assert yardsticks.of_job(job, job.experiment) == read_json(
        tmp_path / "results" / "yardstick.json"
    )["results"]  # fmt: skip
    assert set(first) == {yardstick.MEANS, yardstick.DEVIATIONS}
    assert all(found["test"]["fine"]["mAP"]["mean"] > 0 for found in first.values())
    assert len(calls) == 2
    setting = job.experiment.but(head="gap", learning_rate=0.5)
    yardsticks.of_job(job, setting)
    assert len(calls) == 2
    yardsticks.of_job(job, job.experiment.but(validation_fraction=0.3))
    assert len(calls) == 4
    other = tiny.write(tmp_path / "other", seed=1, with_audio=False)
    bundle = tiny.bundle(other, job.experiment)
    yardsticks.of_job(dataclasses.replace(job, bundle=bundle), job.experiment)
    assert len(calls) == 6


def test_experiments_of_a_table_share_the_yardstick(data, tmp_path, monkeypatch):
    calls = fits(monkeypatch)
    damaged = tmp_path / "a" / "yardstick.json"
    damaged.parent.mkdir()
    damaged.write_text("{", encoding="utf-8")
    first, second = (make_job(data, tmp_path / name) for name in ("b", "c"))
    yardsticks.of_job(first, first.experiment)
    yardsticks.of_job(second, second.experiment.but(head="gap"))
    assert len(calls) == 2
    files = [job.folder / "yardstick.json" for job in (first, second)]
    assert read_json(files[0]) == read_json(files[1])


def test_the_yardstick_of_folds_is_of_the_same_deals(data, tmp_path, monkeypatch):
    calls = fits(monkeypatch)
    experiment = tiny.on_features(data, num_folds=2, seeds=(0, 1))
    job = make_job(data, tmp_path / "results", experiment)
    found = yardsticks.of_job(job, job.experiment)
    assert len(calls) == 8
    assert found[yardstick.MEANS]["test"]["fine"]["mAP"]["std"] > 0


# -- Starting from other experiments ---------------------------------------------------


@pytest.fixture(scope="module")
def started(data, tmp_path_factory):
    """A folder of results with the experiment `first`: seeds 0 and 3, a rate chosen."""
    home = tmp_path_factory.mktemp("started")
    experiment = tiny.on_features(data, head="flat")
    bundle = tiny.bundle(data, experiment)
    runs = []
    for seed in (0, 3):
        runs.append({"seed": seed, "fold": 0, "folder": f"rate=0.05/seed{seed}"})
        for rate in (0.01, 0.05):
            frontend, body = tagger.build(
                experiment,
                bundle.taxonomy,
                feature_shape=bundle.feature_shape,
                seed=seed,
            )
            folder = home / "first@tiny" / f"rate={rate}" / f"seed{seed}"
            folder.mkdir(parents=True)
            promised = Contract(taxonomy=bundle.taxonomy, sample_rate=0)
            whole = tagger.end_to_end(frontend, body)
            saved.write(folder / "best.keras", whole, promised)
            wanted = run_request(experiment, bundle, seed=seed, fold=0)
            write_json(folder / "experiment.json", wanted)
    write_json(home / "first@tiny" / "metrics.json", {"runs": runs})
    return home


def follower(data, home, **changes):
    experiment = tiny.on_features(
        data,
        **({"initial": ("first",), "epochs": 1, "seeds": (3,)} | changes),
    )
    return make_job(data, home / "second@tiny", experiment, name="second")


def test_initial_models_are_those_of_the_seed_and_the_chosen_setting(data, started):
    second = follower(data, started)
    for seed in (0, 3):
        found = second.initial(seed=seed, fold=0)
        folder = started / "first@tiny" / "rate=0.05" / f"seed{seed}"
        assert found == [folder / "best.keras"]
    twice = follower(data, started, initial=("first", "first"))
    assert twice.initial(seed=3, fold=0) == 2 * found
    assert follower(data, started, initial=()).initial(seed=7, fold=0) == []


@pytest.mark.parametrize(
    ("changes", "seed", "fold"),
    [({"initial": ("third",)}, 3, 0), ({}, 7, 0), ({}, 3, 1)],
)
def test_what_is_not_trained_yet_is_named_with_its_command(
    changes, seed, fold, data, started
):
    job = follower(data, started, **changes)
    name = job.experiment.initial[0]
    message = f"second starts from {name} with seed {seed}, .*run.py --exp {name}"
    with pytest.raises(InputError, match=message):
        job.initial(seed=seed, fold=fold)


def test_an_experiment_does_not_start_from_itself(data, started):
    job = follower(data, started, initial=("second",))
    with pytest.raises(InputError, match="second cannot start from its own results"):
        job.initial(seed=3, fold=0)


@pytest.mark.parametrize(
    "change",
    [
        {"data_fingerprint": "0" * 16},
        {"frontend": "panns_32k"},
        {"selection": "last"},
        {"num_folds": 3},
    ],
)
def test_a_model_of_other_clips_is_no_beginning(change, data, started, tmp_path):
    copied = tmp_path / "results"
    shutil.copytree(started / "first@tiny", copied / "first@tiny")
    told = copied / "first@tiny" / "rate=0.05" / "seed3" / "experiment.json"
    write_json(told, read_json(told) | change)
    with pytest.raises(InputError, match=f"trained otherwise: {next(iter(change))} "):
        sweep.run(follower(data, copied))


def test_a_missing_model_is_noticed_before_anything_is_written(
    data, started, tmp_path, never_train
):
    name = "first@tiny/metrics.json"
    write_json(tmp_path / name, read_json(started / name))
    with pytest.raises(InputError, match="Train it first"):
        sweep.run(follower(data, tmp_path))
    assert not list((tmp_path / "second@tiny").glob("*/*"))


def test_the_initial_models_belong_to_what_a_run_is(data, started, tmp_path):
    copied = tmp_path / "results"
    shutil.copytree(started / "first@tiny", copied / "first@tiny")
    job = follower(data, copied)
    sweep.run(job)
    told = read_json(job.folder / "seed3" / "experiment.json")
    (path,) = job.initial(seed=3, fold=0)
    assert told["initial_models"] == [network_digest(path)]
    shutil.copy(path.parents[1] / "seed0" / "best.keras", path)
    with pytest.raises(InputError, match="initial_models .*--fresh"):
        sweep.run(job)


def test_only_the_folds_that_are_asked_for_are_run(data, tmp_path):
    experiment = tiny.on_features(data, num_folds=3, epochs=1, seeds=(0,))
    job = make_job(data, tmp_path, experiment)
    summary = sweep.run(dataclasses.replace(job, folds=(2,)))
    assert [run["fold"] for run in summary["runs"]] == [2]
    assert (summary["num_folds"], summary["folds"]) == (3, [2])
    everything = sweep.run(job)
    assert [run["fold"] for run in everything["runs"]] == [0, 1, 2]
    assert everything["runs"][2] == summary["runs"][0]
    with pytest.raises(InputError, match=r"has folds 0 to 2\. Received: 0, 3"):
        sweep.run(dataclasses.replace(job, folds=(0, 3)))
    single = make_job(data, tmp_path, tiny.on_features(data))
    with pytest.raises(InputError, match=r"has no folds\. Received: 1"):
        sweep.run(dataclasses.replace(single, folds=(1,)))


def test_a_label_that_nobody_validates_is_named(data, tmp_path):
    job = make_job(data, tmp_path, tiny.on_features(data))
    bundle = job.bundle
    lone = np.zeros(len(bundle.clips), bool)
    lone[np.flatnonzero(bundle.clips.parts == "train")[0]] = True
    targets, observed = bundle.labellings["fine"]
    rare = targets * (np.arange(targets.shape[1]) != 2) + 0.0
    rare[lone, 2] = 1.0
    labellings = {**bundle.labellings, "fine": (rare, observed | lone[:, None])}
    job = dataclasses.replace(
        job, bundle=dataclasses.replace(bundle, labellings=labellings)
    )
    parts = job.bundle.deal(job.experiment, seed=job.experiment.seeds[0], fold=0)
    assert not (lone & (parts == "validation")).any()
    named, _, meaning = job.notes[-1].partition(":")
    assert named.startswith("no validation clip has ") and "50 %" in meaning
    missing = job.bundle.without_clips(parts == "validation")
    assert tiny.LABELS[2] in missing
    assert named.endswith(", ".join(missing))
    told = dataclasses.replace(job, experiment=job.experiment.but(selection="last"))
    assert told.notes == bundle.notes


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_with_anything_else_in_it_is_left_alone(data, tmp_path, fresh):
    experiment = tiny.on_features(data, epochs=1, seeds=(0,))
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "night.wav").write_bytes(b"irreplaceable")
    with pytest.raises(InputError, match="holds recordings, no results of an exp"):
        sweep.run(make_job(data, tmp_path, experiment), fresh=fresh)
    (kept,) = tmp_path.rglob("*.*")
    assert kept.read_bytes() == b"irreplaceable"


def test_a_run_on_other_clips_is_said_to_be_one(data, tmp_path):
    experiment = tiny.on_features(data, epochs=1, seeds=(0,))
    home = tmp_path / "home"
    sweep.run(make_job(data, home, experiment))
    elsewhere = tiny.write(tmp_path / "elsewhere", seed=1, with_audio=False)
    job = make_job(elsewhere, home, experiment)
    with pytest.raises(
        InputError, match=r"a run on other clips or labels.* \(.*data_finger.* -> "
    ):
        sweep.run(job)


# -- Runs that another experiment has trained already ----------------------------------


def test_an_equal_run_is_taken_over_and_an_unequal_one_is_not(
    data, tmp_path, monkeypatch, capsys
):
    trained = []
    monkeypatch.setattr(
        training,
        "train",
        lambda *args, train=training.train, **named: (
            trained.append(args[2].parent.name) or train(*args, **named)
        ),
    )

    def run(name, *, fresh=False, **changes):
        experiment = tiny.on_features(data, **({"epochs": 1, "seeds": (0,)} | changes))
        job = make_job(data, tmp_path / f"{name}@tiny", experiment, name=name)
        return sweep.run(job, fresh=fresh)

    first = run("first")
    second = run("second", row="another row", table="another table", seeds=(0, 1))
    assert trained == ["first@tiny", "second@tiny"]
    assert "seed 0 is first@tiny/seed0: copied" in capsys.readouterr().out
    assert second["runs"][0]["test"] == first["runs"][0]["test"]
    weights = [
        keras.models.load_model(tmp_path / name / "seed0" / "best.keras").get_weights()
        for name in ("first@tiny", "second@tiny")
    ]
    for mine, its in zip(*weights, strict=True):
        np.testing.assert_array_equal(mine, its)
    run("third", head="gap")
    run("second", fresh=True)
    assert trained[2:] == ["third@tiny", "second@tiny"]
    # Nor one of other clips, or of another fold.
    folded = {"num_folds": 2, "head": "sdt"}
    run("folds", **folded)
    del trained[:]
    experiment = tiny.on_features(data, epochs=1, seeds=(0,), **folded)
    job = make_job(data, tmp_path / "other@tiny", experiment, name="other")
    sweep.run(dataclasses.replace(job, folds=(1,)))
    assert trained == []
    assert "seed 0, fold 1 is folds@tiny/seed0/fold1: co" in capsys.readouterr().out
    elsewhere = tiny.write(tmp_path / "elsewhere", seed=1, with_audio=False)
    bundle = tiny.bundle(elsewhere, experiment)
    job = make_job(data, tmp_path / "third-data@tiny", experiment, name="third-data")
    sweep.run(dataclasses.replace(job, bundle=bundle, folds=(1,)))
    assert len(trained) == 1
    del trained[:]
    # What is not finished, or not legible, is taken by nobody.
    (tmp_path / "first@tiny" / "seed0" / "experiment.json").write_text("{", "utf-8")
    (tmp_path / "second@tiny" / "seed0" / "metrics.json").unlink()
    run("fourth")
    assert trained == ["fourth@tiny"]


def test_nothing_is_deleted_for_what_cannot_be_trained(data, tmp_path):
    experiment = tiny.on_features(data, epochs=1, seeds=(0,))
    sweep.run(make_job(data, tmp_path, experiment))
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    for changes in (
        {"loss": "cce"},
        {"select_by": "uar"},
        {"initial": ("nobody",)},
        {"selection": "last", "grid": {"learning_rate": (0.1, 0.2)}},
    ):
        job = make_job(data, tmp_path, experiment.but(**changes))
        with pytest.raises(InputError):
            sweep.run(job, fresh=True)
    after = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    assert after == before


def test_a_grid_is_not_chosen_from_without_clips_to_choose_by(
    data, tmp_path, never_train
):
    grid = {"learning_rate": (0.1, 0.2)}
    experiment = tiny.on_features(data, grid=grid, selection="last")
    with pytest.raises(InputError, match="selection='last' holds no clips out"):
        sweep.run(make_job(data, tmp_path, experiment))


def test_a_sweep_without_clips_held_out(data, tmp_path):
    experiment = tiny.on_features(
        data, selection="last", seeds=(1, 0), epochs=1, ema_decay=0.5
    )
    summary = sweep.run(make_job(data, tmp_path, experiment))
    assert summary["best_run"] == "seed1"  # the first
    assert summary["choice"] == [{"setting": {}, "validation_fine_loss": None}]
    assert "validation" not in summary["runs"][0]
    for part in ("test", "test_live"):
        a, b = (run[part]["fine"]["mAP"] for run in summary["runs"])
        assert summary[part]["fine"]["mAP"]["mean"] == pytest.approx((a + b) / 2)
