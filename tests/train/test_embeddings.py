"""Embeddings computed once: those of the backbone, and the runs made on them."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

from tests import tiny
from tests.train import test_run as runs
from tfhier import contract, evaluate, explain, saved, study, tagger
from tfhier.backbones import BACKBONES
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.files import read_json
from tfhier.taxonomy import Taxonomy
from tfhier.train import embeddings, sweep
from tfhier.train import run as training
from tfhier.train.embeddings import Embeddings
from tfhier.train.request import is_trained

OTHERS = Taxonomy.flat(("bark", "rain", "siren"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with tiny.data_set(tmp_path_factory.mktemp("data")) as folder:
        yield folder


def on_audio(data, **changes):
    """An experiment of a head on a frozen backbone that nothing random comes before."""
    settings = {
        "head": "flat",
        "spec_augment": False,
        "dropout_scale": 0.0,
        "crop_seconds": 0.0,
        "pretrained": "start.keras",
        "frozen": True,
    }
    return tiny.on_audio(data, **(settings | changes))


def write_start(path, experiment, *, seed=5):
    """Save a tagger of other labels, with weights and statistics of its own."""
    frontend, body = tagger.build(experiment, OTHERS, seed=seed)
    rng = np.random.default_rng(seed)
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(1, 2, layer.gamma.shape))
    # Decibels, as the front end gives them: means around 0 would be far from any.
    body.get_layer("bn0").moving_mean.assign(np.full(64, -40.0))
    body.get_layer("bn0").moving_variance.assign(np.full(64, 400.0))
    promised = Contract(
        taxonomy=OTHERS,
        sample_rate=frontend.sample_rate,
        source="start.pth",
        licence="CC-BY-4.0",
        citation="Start 2020",
    )
    saved.write(path, tagger.end_to_end(frontend, body), promised)
    return path


@pytest.fixture(scope="module")
def start(data, tmp_path_factory):
    """Path of the tagger that all of this starts from."""
    return write_start(tmp_path_factory.mktemp("start") / "start.keras", on_audio(data))


@pytest.fixture(scope="module")
def heard(data):
    """The waveforms."""
    return tiny.bundle(data, on_audio(data)).source


@pytest.fixture(scope="module")
def direct(start, heard):
    """What front end and backbone of the start answer to all clips: (clips, units)."""
    model = keras.models.load_model(start)
    backbone = tagger.backbone_of(tagger.body_of(model))
    waveforms = heard.fetch(np.arange(len(tiny.KEYS)))
    return np.asarray(backbone(tagger.frontend_of(model)(waveforms), training=False))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and where embeddings lie in it."""
    monkeypatch.setenv("TFHIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embeddings"


def files_of(cache) -> list[str]:
    return sorted(path.name for path in cache.glob("*") if path.suffix != ".lock")


@pytest.fixture
def embedded_rows(monkeypatch):
    """Which clips are embedded, call by call."""
    calls = []
    embed = Embeddings._embed

    def record(self, model, rows):
        calls.append(rows.tolist())
        return embed(self, model, rows)

    monkeypatch.setattr(Embeddings, "_embed", record)
    return calls


# -- The embeddings --------------------------------------------------------------------


def test_values_are_what_the_backbone_answers(start, heard, direct, cache):
    made = Embeddings(start, heard)
    assert made.values.dtype == np.float32
    np.testing.assert_allclose(made.values, direct, rtol=1e-4, atol=1e-5)
    assert np.ptp(direct, axis=0).max() > 0.01  # or equal to anything
    rows = np.array([7, 0, 7])
    picked = made.fetch(rows)
    assert type(picked) is np.ndarray
    np.testing.assert_array_equal(picked, made.values[rows])


def test_they_are_computed_once_for_all_who_ask(start, heard, cache, embedded_rows):
    first = Embeddings(start, heard).values
    name, sums = files_of(cache)
    assert (name[-4:], sums[-7:]) == (".npy", ".sha256")
    again = Embeddings(start, heard)
    np.testing.assert_array_equal(again.values, first)
    assert embedded_rows == [list(range(48))]
    (cache / name).unlink()  # which is allowed at any time
    np.testing.assert_array_equal(Embeddings(start, heard).values, first)
    assert len(embedded_rows) == 2


@pytest.mark.parametrize("stopped", [0, 2])
def test_a_killed_call_goes_on_where_it_was(
    stopped, start, heard, cache, embedded_rows, monkeypatch
):
    whole = np.array(Embeddings(start, heard).values)
    for path in cache.glob("*.npy"):
        path.unlink()
    monkeypatch.setattr(embeddings, "BLOCK", 20)
    blocks = [list(range(20)), list(range(20, 40)), list(range(40, 48))]
    with monkeypatch.context() as patch:
        embed = Embeddings._embed

        def until(self, model, rows):
            if rows[0] == blocks[stopped][0]:
                raise runs.Interrupted
            return embed(self, model, rows)

        patch.setattr(Embeddings, "_embed", until)
        with pytest.raises(runs.Interrupted):
            Embeddings(start, heard).values  # noqa: B018
    assert not list(cache.glob("*.npy"))
    del embedded_rows[:]
    values = Embeddings(start, heard).values
    assert embedded_rows == blocks[stopped:]
    np.testing.assert_allclose(values, whole, rtol=1e-4, atol=1e-6)
    assert len(files_of(cache)) == 2  # no block is left


def test_a_kill_while_blocks_are_joined_embeds_nothing_again(
    start, heard, cache, embedded_rows, monkeypatch
):
    with monkeypatch.context() as patch:
        runs.stop_at(patch, np.lib.format, "open_memmap", lambda *_: True)
        with pytest.raises(runs.Interrupted):
            Embeddings(start, heard).values  # noqa: B018
    assert not list(cache.glob("*.npy"))
    del embedded_rows[:]
    assert Embeddings(start, heard).values.shape[0] == 48
    assert embedded_rows == []


@pytest.mark.parametrize("damage", ["a bit", "the end", "all", "the header", "sum"])
def test_altered_files_are_made_anew(damage, start, heard, cache, embedded_rows):
    first = np.array(Embeddings(start, heard).values)
    (path,) = cache.glob("*.npy")
    content = bytearray(path.read_bytes())
    if damage == "a bit":
        content[-2_000] ^= 1
    elif damage == "the header":
        content[3] ^= 1
    elif damage == "sum":
        path.with_suffix(".sha256").unlink()
    else:
        content = content[:-100] if damage == "the end" else b""
    path.write_bytes(content)
    np.testing.assert_array_equal(Embeddings(start, heard).values, first)
    assert len(embedded_rows) == 2


def test_an_altered_block_is_made_anew(start, heard, cache, embedded_rows, monkeypatch):
    with monkeypatch.context() as patch:
        runs.stop_at(patch, np.lib.format, "open_memmap", lambda *_: True)
        with pytest.raises(runs.Interrupted):
            Embeddings(start, heard).values  # noqa: B018
    (block,) = cache.glob("*.blocks/0.npy")
    block.write_bytes(block.read_bytes()[:-9])
    assert Embeddings(start, heard).values.shape[0] == 48
    assert len(embedded_rows) == 2


def test_other_clips_models_and_front_ends_have_files_of_their_own(
    data, start, heard, cache, tmp_path
):
    other = write_start(tmp_path / "other.keras", on_audio(data), seed=6)
    front_end = on_audio(data, frontend="primates_16k")
    elsewhere = write_start(tmp_path / "elsewhere.keras", front_end)
    tiny.write(tmp_path / "clips", seed=1)
    others = tiny.bundle(tmp_path / "clips", on_audio(data)).source
    for made in (
        Embeddings(start, heard),
        Embeddings(other, heard),
        Embeddings(elsewhere, heard),
        Embeddings(start, others),
    ):
        assert made.values.shape[0] == 48
    assert len(files_of(cache)) == 2 * 4  # with their checksums
    moved = shutil.copy(start, tmp_path / "moved.keras")
    assert Embeddings(moved, heard).values.shape[0] == 48
    assert len(files_of(cache)) == 2 * 4  # with their checksums


# -- Runs on them ----------------------------------------------------------------------


def bundle_of(data, experiment, start, *, once=True):
    bundle = tiny.bundle(data, experiment)
    embedded = Embeddings(start, bundle.source) if once else None
    return dataclasses.replace(bundle, embedded=embedded)


def go(experiment, bundle, folder, start, progress=None):
    """Train and evaluate a run as a sweep does; return the progress."""
    progress = progress or runs.Recorder()
    parts = bundle.deal(experiment, seed=0, fold=0)
    if not is_trained(folder):
        training.train(
            experiment,
            bundle,
            folder,
            seed=0,
            fold=0,
            parts=parts,
            progress=progress,
            initial=[start],
        )
    evaluate.evaluate_run(folder, bundle, parts, experiment)
    return progress


def everything_random(data):
    """All that is drawn or remembered behind the embedding."""
    return on_audio(
        data,
        head="resatt",
        epochs=3,
        hidden_units=6,
        hidden_dropout=0.3,
        mixup_alpha=0.5,
        ema_decay=0.8,
        ema_start=3,
    )


@pytest.fixture(scope="module")
def uninterrupted(data, start, tmp_path_factory):
    """A whole run on embeddings: experiment, bundle and folder."""
    experiment = everything_random(data)
    bundle = bundle_of(data, experiment, start)
    folder = tmp_path_factory.mktemp("run")
    go(experiment, bundle, folder, start)
    return experiment, bundle, folder


def test_scores_are_those_of_the_saved_tagger_from_waveforms(uninterrupted):
    experiment, bundle, folder = uninterrupted
    test = np.flatnonzero(bundle.clips.parts == "test")
    model = saved.read(folder / "best.keras")
    whole = model.predict(bundle.source.fetch(test), verbose=0)
    with np.load(folder / "scores.npz", allow_pickle=False) as told:
        assert told["sample_key"].tolist() == list(tiny.KEYS[tiny.NUM_TRAIN :])
        for level in ("fine", "coarse"):
            np.testing.assert_allclose(told[f"scores_{level}"], whole[level], atol=1e-5)
            assert np.ptp(whole[level], axis=0).max() > 1e-4
    live = saved.read(folder / "live.keras")
    plain = dataclasses.replace(bundle, embedded=None)
    for level, scores in evaluate.score(live, bundle, test).items():
        again = evaluate.score(live, plain, test)[level]
        np.testing.assert_allclose(scores, again, atol=1e-5)


def test_the_saved_backbone_is_the_pretrained_one(uninterrupted, start):
    folder = uninterrupted[2]
    for name in ("best.keras", "live.keras"):
        mine, its = (
            tagger.backbone_of(tagger.body_of(saved.read(path))).get_weights()
            for path in (folder / name, start)
        )
        assert len(mine) == len(its) > 10
        assert all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))


def test_training_is_that_of_a_frozen_backbone(data, start, tmp_path):
    """Computed once or at every step, head and neck come out alike."""
    experiment = on_audio(data, hidden_units=6, hidden_dropout=0.3, head="gmp")
    for name, once in (("once", True), ("anew", False)):
        bundle = bundle_of(data, experiment, start, once=once)
        go(experiment, bundle, tmp_path / name, start)
    once, anew = (runs.weights_of(tmp_path / name) for name in ("once", "anew"))
    for mine, its in zip(once, anew, strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-4)
    bundle = tiny.bundle(data, experiment)
    _, fresh = tagger.build(experiment, bundle.taxonomy)
    kernel = tagger.body_of(saved.read(tmp_path / "once" / "best.keras")).get_layer(
        "hidden"
    )
    assert np.abs(kernel.kernel - fresh.get_layer("hidden").kernel).max() > 1e-2


def test_an_interrupted_run_ends_with_the_same_bits(uninterrupted, start, tmp_path):
    experiment, bundle, expected = uninterrupted
    for moment in ({"at_step": 2}, {"after_epoch": 1}):
        with pytest.raises(runs.Interrupted):
            go(experiment, bundle, tmp_path, start, runs.Recorder(**moment))
    assert go(experiment, bundle, tmp_path, start).first_epoch == 2
    runs.assert_same_results(tmp_path, expected)


def test_support_vector_machines_are_fitted_on_them(data, start, tmp_path):
    experiment = on_audio(data, fit="svm")
    for name, once in (("once", True), ("anew", False)):
        bundle = bundle_of(data, experiment, start, once=once)
        go(experiment, bundle, tmp_path / name, start)
    folders = [tmp_path / name for name in ("once", "anew")]
    once, anew = (read_json(folder / "metrics.json") for folder in folders)
    assert once["test"]["fine"]["mAP"] == pytest.approx(anew["test"]["fine"]["mAP"])
    for mine, its in zip(*map(runs.weights_of, folders), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-2, atol=1e-4)


# -- Studies ---------------------------------------------------------------------------


def study_of(data, output, experiments, **options):
    options = study.Options(data=str(data), output=output, **options)
    return study.run(experiments, options)


@pytest.fixture(scope="module")
def studied(data, start, tmp_path_factory):
    """Two heads on one backbone: experiments, folder of the results, summaries."""
    base = on_audio(data, pretrained=str(start), epochs=1)
    experiments = {
        "told": base.but(head="resatt", attention_prior=2.0, hidden_units=6),
        "plain": base,
    }
    output = tmp_path_factory.mktemp("output")
    return experiments, output, study_of(data, output, experiments)


def test_the_origin_of_the_start_stays_with_what_is_trained_from_it(studied):
    _, output, _ = studied
    promised = contract.read(output / "plain@tiny" / "seed0" / "best.keras")
    assert promised.source == "trained on tiny from start.pth"
    assert (promised.licence, promised.citation) == ("CC-BY-4.0", "Start 2020")


def test_a_study_tells_everything_of_such_a_run(studied):
    _, output, summaries = studied
    assert [summary["experiment"] for summary in summaries] == ["told", "plain"]
    page = (output / "told@tiny" / "report.html").read_text(encoding="utf-8")
    for words in ("<h2>Attention</h2>", "<h2>Learning curves</h2>"):
        assert words in page
    assert "With attention_prior=2 the head begins at the taxonomy" in page
    assert "is not told which" not in page
    thresholds = read_json(output / "told@tiny" / "seed0" / "thresholds.json")
    assert thresholds
    for summary in summaries:
        assert 0 <= summary["test"]["fine"]["mAP"]["mean"] <= 1


def test_embeddings_of_what_the_head_sees_are_laid_on_a_plane(studied, data, start):
    """With a neck and without one."""
    experiments, output, _ = studied
    for name, experiment in experiments.items():
        folder = output / f"{name}@tiny"
        for once in (True, False):
            bundle = bundle_of(data, experiment, start, once=once)
            rows, plane = explain.embedding_plane(folder, bundle)
            assert rows.tolist() == list(range(tiny.NUM_TRAIN, 48))
            assert np.isfinite(plane).all()


def test_attention_on_embeddings_is_that_on_waveforms(studied, data, start):
    experiments, output, _ = studied
    maps = [
        explain.attention_on_test(
            output / "told@tiny", bundle_of(data, experiments["told"], start, once=once)
        )["coarse"]
        for once in (True, False)
    ]
    assert maps[0].shape == (tiny.NUM_TEST, 6, 3)
    np.testing.assert_allclose(*maps, atol=1e-5)


def test_the_same_command_and_evaluation_alone_say_the_same(studied, data, monkeypatch):
    experiments, output, summaries = studied

    def refuse(*_, **__):
        raise AssertionError("this must not train")

    monkeypatch.setattr(sweep.training, "train", refuse)
    assert study_of(data, output, experiments) == summaries
    again = study_of(data, output, experiments, test_only=True)
    assert [s["runs"] for s in again] == [s["runs"] for s in summaries]


def test_the_console_says_what_is_computed_once(studied, data, start, capsys):
    experiments, output, _ = studied
    study_of(data, output, {"plain": experiments["plain"]})
    assert "frozen:" not in capsys.readouterr().out


# -- What is not computed once ---------------------------------------------------------


def job_of(data, experiment, tmp_path, **options):
    """The job that a study makes of an experiment."""
    options = study.Options(data=str(data), output=tmp_path, **options)
    clips = study.data.find_clips(experiment.dataset, options.data)
    return study._job("lone", experiment, experiment, clips, options, {}, {})


@pytest.mark.parametrize(
    ("changes", "is_embedded"),
    [
        ({}, True),
        ({"mixup_alpha": 0.5, "hidden_dropout": 0.5}, True),
        ({"grid": {"learning_rate": (0.1, 0.2)}}, True),
        ({"frozen": False}, False),
        ({"spec_augment": True}, False),
        ({"grid": {"frozen": (True, False)}}, False),
        ({"grid": {"spec_augment": (False, True)}}, False),
    ],
)
def test_only_runs_that_see_nothing_else_get_embeddings(
    changes, is_embedded, data, start, tmp_path
):
    experiment = on_audio(data, pretrained=str(start), **changes)
    bundle = job_of(data, experiment, tmp_path).bundle
    assert (bundle.embedded is not None) == is_embedded


NOTE = "frozen: embeddings are computed anew at every step, because of "


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"frozen": False, "spec_augment": True}, ""),
        ({"mixup_alpha": 0.5}, ""),
        (
            {"spec_augment": True, "dropout_scale": 0.5},
            "spec_augment, dropout_scale: --set spec_augment=False dropout_scale=0 ",
        ),
        (
            {"noise_rate": 0.5, "noise_label": "f"},
            "noise_rate, noise_label: --set noise_rate=0 noise_label= computes",
        ),
        ({"grid": {"gain_db": (0.0, 3.0)}}, "gain_db: --set gain_db=0 computes them"),
    ],
)
def test_a_frozen_backbone_that_is_asked_anew_is_explained(
    changes, told, data, start, tmp_path, capsys
):
    experiment = on_audio(data, pretrained=str(start), **changes)
    study._introduce(job_of(data, experiment, tmp_path))
    text = capsys.readouterr().out
    assert (NOTE in text) == bool(told)
    assert NOTE + told in text or not told


def test_the_advice_of_the_note_is_taken(data, start, tmp_path, capsys):
    """Pasted behind the command it leads to embeddings that are computed once."""
    experiment = on_audio(
        data,
        pretrained=str(start),
        spec_augment=True,
        dropout_scale=1.0,
        crop_seconds=0.4,
        time_stretch=0.1,
        pitch_quarter_tones=2,
        roll_seconds=0.1,
        gain_db=3.0,
        noise_rate=0.5,
        noise_label="f",
    )
    study._introduce(job_of(data, experiment, tmp_path))
    text = capsys.readouterr().out
    advice = text.split("--set ")[1].split(" computes them once")[0].split(" ")
    assert len(advice) == 9
    changed = study.override(experiment, advice)
    assert job_of(data, changed, tmp_path).bundle.embedded is not None


@pytest.mark.parametrize(
    ("changes", "warned"),
    [({}, False), ({"spec_augment": True}, True), ({"frozen": False}, True)],
)
def test_heads_on_embeddings_take_no_weeks(
    changes, warned, data, start, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(study.keras.distribution, "list_devices", lambda kind: [])
    experiment = on_audio(data, pretrained=str(start), **changes)
    study._introduce(job_of(data, experiment, tmp_path, profile="paper"))
    assert ("no GPU here: this takes weeks" in capsys.readouterr().out) == warned


# -- What is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0.06}, r"start\.keras has other layers than cnn6 at width 0\.06"),
        ({"backbone": "cnn10"}, r"start\.keras has other layers than cnn10"),
        (
            {"frontend": "primates_16k", "width": 0.06},
            r"primates_16k \(--set frontend=panns_16k\) and other layers than cnn6",
        ),
        ({"pretrained": "gone.keras"}, r"no model gone\.keras to start from"),
        ({"pretrained": "yamnett"}, r"no weights 'yamnett'\. Close: yamnet"),
    ],
)
def test_a_start_that_does_not_fit_is_refused_before_anything_is_deleted(
    changes, message, studied, data
):
    experiments, output, summaries = studied
    before = sorted(output.rglob("*"))
    changed = experiments["plain"].but(**changes)
    with pytest.raises(InputError, match=message):
        study_of(data, output, {"plain": changed}, fresh=True)
    assert sorted(output.rglob("*")) == before
    assert read_json(output / "plain@tiny" / "metrics.json") == summaries[1]


def test_fresh_never_deletes_what_the_run_starts_from(studied, data):
    experiments, output, _ = studied
    start = next(output.glob("plain@tiny/**/best.keras"))
    changed = experiments["plain"].but(pretrained=str(start))
    with pytest.raises(InputError, match="which --fresh would delete"):
        study_of(data, output, {"plain": changed}, fresh=True)
    assert start.is_file()


def test_a_head_is_taken_from_a_tagger_of_the_same_labels_alone(
    studied, data, start, tmp_path
):
    experiments, output, _ = studied
    own = next(output.glob("plain@tiny/**/best.keras"))
    experiment = experiments["plain"].but(pretrained=str(own), initial_head=True)
    assert job_of(data, experiment, tmp_path).pretrained == own
    with pytest.raises(InputError, match=r"start\.keras has other labels than lone"):
        job_of(data, experiment.but(pretrained=str(start)), tmp_path)


@pytest.mark.parametrize("options", [{}, {"profile": "small"}, {"data": "embedded"}])
def test_weights_that_do_not_fit_stop_all_before_anything_is_read_or_trained(
    studied, data, tmp_path, monkeypatch, options
):
    experiments, _, _ = studied

    def refuse(*_, **__):
        raise AssertionError("too late")

    monkeypatch.setattr(study.bundles, "build", refuse)
    if options:
        monkeypatch.setattr(study.data, "find_clips", refuse)
    later = experiments["plain"].but(pretrained="panns_cnn14_16k", small={})
    with pytest.raises(InputError, match="is cnn14 .*behind panns_16k: --set "):
        study.run(
            {"plain": experiments["plain"], "later": later},
            study.Options(**{"data": str(data), "output": tmp_path, **options}),
        )
    assert list(tmp_path.iterdir()) == []


def test_experiments_whose_weights_cannot_be_had_are_set_aside(
    data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TFHIER_OFFLINE", "1")
    monkeypatch.setenv("TFHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFHIER_DATA", str(tmp_path / "none"))
    plain = on_audio(data, epochs=1, pretrained="", frozen=False)
    gone = plain.but(
        pretrained="panns_cnn14_8k", backbone="cnn14", frontend="panns_8k", width=1.0
    )
    after = plain.but(initial=("gone",), backbone="cnn14", frontend="panns_8k")
    experiments = {"gone": gone, "after": after, "plain": plain}
    summaries = study_of(data, tmp_path / "output", experiments)
    assert [summary["experiment"] for summary in summaries] == ["plain"]
    told = capsys.readouterr().out
    assert "left out gone: The weights panns_cnn14_8k are not there and TFH" in told
    assert "left out after: it starts from gone" in told
    with pytest.raises(InputError, match="None of these experiments can be run. it st"):
        study_of(data, tmp_path / "output", {"gone": gone, "after": after})
    with pytest.raises(InputError, match="The weights panns_cnn14_8k are not there"):
        study_of(data, tmp_path / "output", {"gone": gone})


def test_other_pretrained_weights_are_another_run(studied, data, tmp_path):
    experiments, output, _ = studied
    other = write_start(tmp_path / "other.keras", on_audio(data), seed=6)
    changed = experiments["plain"].but(pretrained=str(other))
    with pytest.raises(InputError, match="initial_models .*pretrained .*--fresh"):
        study_of(data, output, {"plain": changed})


def test_the_same_weights_in_a_network_of_other_code_are_refused(
    data, tmp_path, monkeypatch
):
    """Layers of equal names and shapes may still be joined otherwise."""

    def own(factor):
        def build(log_mel, *, width=1.0, dropout_scale=1.0, augment=None):
            x = keras.layers.Rescaling(factor)(log_mel)
            x = keras.layers.Dense(4, activation="relu", name="layer")(x)
            return keras.layers.GlobalMaxPooling1D()(x)

        return build

    monkeypatch.setitem(BACKBONES, "own", own(0.01))
    experiment = on_audio(data, backbone="own")
    frontend, body = tagger.build(experiment, OTHERS)
    model = tmp_path / "own.keras"
    promised = Contract(taxonomy=OTHERS, sample_rate=16_000)
    saved.write(model, tagger.end_to_end(frontend, body), promised)
    bundle = bundle_of(data, experiment, model)
    parts = bundle.deal(experiment, seed=0, fold=0)
    options = {"seed": 0, "parts": parts, "initial": [model]}
    training.build(experiment, bundle, **options)
    monkeypatch.setitem(BACKBONES, "own", own(0.02))
    with pytest.raises(InputError, match=r"own\.keras .* embeds clips otherwise"):
        training.build(experiment, bundle, **options)
