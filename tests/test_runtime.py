"""Saved taggers against their parts called by hand, and clips they cannot take."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from keras import layers

import tfhier
from tfhier import audio, contract, runtime, saved, tagger
from tfhier.backbones import BACKBONES
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.heads import HEADS
from tfhier.taxonomy import Taxonomy

RATE = 8_000
TREE = Taxonomy.parse("zebra,animal\na,x\nb,x\nc,y\nd,y\ne,z\n")
SMALL = Experiment(
    frontend="panns_8k", backbone="cnn6", width=1 / 32, head="gmp", spec_augment=False
)


def whole(experiment: Experiment = SMALL, taxonomy: Taxonomy = TREE) -> keras.Model:
    """A tagger whose biases and normalisations all do something."""
    model = tagger.end_to_end(*tagger.build(experiment, taxonomy))
    rng = np.random.default_rng(5)
    for variable in model.weights:
        drawn = rng.normal(0.0, 0.3, variable.shape).astype(np.float32)
        if variable.path == "bn0/moving_mean":
            drawn -= 20  # dB, as noise has
        if variable.path.endswith(("variance", "gamma")):
            drawn = np.abs(drawn) + 0.5
        if not variable.path.endswith("kernel"):
            variable.assign(drawn)
    return model


def promise(taxonomy: Taxonomy = TREE, **more) -> Contract:
    return Contract(taxonomy=taxonomy, **({"sample_rate": RATE} | more))


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """The small tagger as a file without a contract."""
    path = tmp_path_factory.mktemp("bare") / "bare.keras"
    whole().save(path)
    return path


@pytest.fixture
def with_contract(bare, tmp_path):
    """Makes the small tagger's file with a contract of choice."""

    def write(**settings) -> Path:
        path = tmp_path / "model.keras"
        shutil.copy(bare, path)
        contract.attach(path, promise(**settings))
        return path

    return write


@pytest.fixture(scope="module")
def loaded(bare, tmp_path_factory) -> runtime.LoadedTagger:
    """The small tagger, for tests that only ask it."""
    path = tmp_path_factory.mktemp("loaded") / "model.keras"
    shutil.copy(bare, path)
    contract.attach(path, promise())
    return tfhier.load(str(path))


def sound(rng, *, samples: int = 6_000) -> np.ndarray:
    return rng.uniform(-0.5, 0.5, samples).astype(np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def check_by_hand(model, clip, experiment, taxonomy=TREE, path=None) -> dict:
    """Compare what is answered to a clip with the parts of the model, one by one."""
    saved.write(path, model, promise(taxonomy, softmax=experiment.loss == "cce"))
    loaded = tfhier.load(path)
    found = loaded.answer(clip, sample_rate=RATE)
    body, log_mel = tagger.body_of(model), tagger.frontend_of(model)(clip[None])
    assert list(found)[:3] == ["log_mel", "embedding", "logits"]
    assert_close(found["log_mel"], log_mel[0])
    frames = tagger.backbone_of(body)(log_mel).numpy()[0]
    assert_close(
        found["embedding"], frames.mean(axis=0) if frames.ndim == 2 else frames
    )
    seen = tagger.embedder(model, taxonomy)(clip[None]).numpy()[0]
    classifier = body.get_layer(f"{taxonomy.fine}_classifier")
    logits = seen @ classifier.kernel.numpy() + classifier.bias.numpy()
    assert_close(found["logits"], logits)
    for level, values in model(clip[None]).items():
        assert_close(found[level], values.numpy()[0])
    assert all(values.dtype == np.float32 for values in found.values())
    return found | {"seen": seen, "frames": frames}


# -- What is answered ------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_every_head_answers_as_its_parts(head, rng, tmp_path):
    experiment = SMALL.but(head=head)
    found = check_by_hand(
        whole(experiment), sound(rng), experiment, path=tmp_path / "model.keras"
    )
    own = sigmoid(found["logits"])
    if head == "sdt":  # whose leaves are scaled by their parents
        own = own * found["animal"][[0, 0, 1, 1, 2]]
    assert_close(found["zebra"], own)


def test_labels_that_exclude_each_other_sum_to_1(rng, tmp_path):
    experiment = SMALL.but(head="flat", loss="cce")
    found = check_by_hand(
        whole(experiment), sound(rng), experiment, path=tmp_path / "model.keras"
    )
    assert_close(found["zebra"], softmax(found["logits"]))
    assert found["zebra"].sum() == pytest.approx(1)


def test_the_logits_lie_behind_the_neck(rng, tmp_path):
    experiment = SMALL.but(hidden_units=7, hidden_dropout=0.5)
    found = check_by_hand(
        whole(experiment), sound(rng), experiment, path=tmp_path / "model.keras"
    )
    assert found["seen"].shape == (7,)
    assert found["embedding"].shape == (16,)


def frames_of(log_mel, *, width=1.0, dropout_scale=1.0, augment=None):
    """A backbone whose embedding has a time axis."""
    return layers.Conv1D(6, 9, strides=4, activation="relu", name="frames")(log_mel)


@pytest.mark.parametrize("hidden_units", [0, 5])
def test_an_embedding_with_frames_is_their_mean(
    hidden_units, rng, tmp_path, monkeypatch
):
    monkeypatch.setitem(BACKBONES, "frames", frames_of)
    experiment = SMALL.but(backbone="frames", hidden_units=hidden_units)
    found = check_by_hand(
        whole(experiment), sound(rng), experiment, path=tmp_path / "model.keras"
    )
    assert found["frames"].shape == (17, 6)  # 76 frames, windows of 9, every 4


def test_one_level_and_three(rng, tmp_path):
    for taxonomy in (
        Taxonomy.flat(["a", "b, c", "d"]),
        Taxonomy.parse("leaf,branch,root\na,p,x\nb,p,x\nc,q,x\nd,r,y\n"),
    ):
        model = whole(taxonomy=taxonomy)
        clip, path = sound(rng), tmp_path / "model.keras"
        found = check_by_hand(model, clip, SMALL, taxonomy, path)
        loaded = tfhier.load(path)
        assert list(loaded.levels) == list(taxonomy.levels)
        tags = loaded.tag(clip, sample_rate=RATE)
        assert {level: list(own) for level, own in tags.items()} == {
            level: list(labels) for level, labels in loaded.levels.items()
        }
        for level, own in tags.items():
            assert_close(np.array(list(own.values())), found[level])


def test_tags_and_embedding_are_parts_of_the_answer(loaded, rng):
    clip = sound(rng)
    found = loaded.answer(clip, sample_rate=RATE)
    tags = loaded.tag(clip, sample_rate=RATE)
    assert list(tags["animal"]) == ["x", "y", "z"]
    assert {type(value) for value in tags["zebra"].values()} == {float}
    np.testing.assert_array_equal(list(tags["zebra"].values()), found["zebra"])
    embedding = loaded.embed(clip, sample_rate=RATE)
    np.testing.assert_array_equal(embedding, found["embedding"])
    assert len(set(found["zebra"])) == 5
    assert loaded.sample_rate == RATE


# -- Clips -----------------------------------------------------------------------------


def test_a_file_is_resampled_to_the_models_rate(loaded, rng, tmp_path):
    path = tmp_path / "a clip, 44.1 kHz.wav"
    soundfile.write(path, sound(rng, samples=33_075), 44_100)
    waveform, rate = audio.read(path)
    own = audio.resample(waveform, source_rate=rate, target_rate=RATE)
    expected = loaded.answer(own, sample_rate=RATE)
    for clip in (path, str(path)):
        found = loaded.answer(clip)
        for name, values in found.items():
            np.testing.assert_array_equal(values, expected[name])
    from_array = loaded.answer(waveform, sample_rate=44_100)
    np.testing.assert_array_equal(from_array["logits"], expected["logits"])
    other = loaded.answer(waveform, sample_rate=48_000)
    assert np.abs(other["logits"] - expected["logits"]).max() > 1e-2


def test_a_stereo_file_of_384_kilohertz_is_heard(loaded, rng, tmp_path):
    """As the mean of its channels, here those of a tone and its half."""
    time = np.arange(192_000) / 384_000
    tone = 0.4 * np.sin(2 * np.pi * 1_000 * time)
    path = tmp_path / "ultrasound.flac"
    soundfile.write(path, np.stack([tone, tone / 2], axis=1), 384_000)
    found = loaded.answer(path)
    seconds = np.arange(4_000) / RATE
    expected = 0.3 * np.sin(2 * np.pi * 1_000 * seconds).astype(np.float32)
    expected = loaded.answer(expected, sample_rate=RATE)
    loud = expected["log_mel"] > expected["log_mel"].max() - 20
    off = np.abs(found["log_mel"] - expected["log_mel"])[3:-3]
    assert off[loud[3:-3]].max() < 0.1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_any_width_are_taken(loaded, rng, dtype):
    clip = sound(rng).astype(dtype)
    found = loaded.answer(clip, sample_rate=RATE)
    expected = loaded.answer(clip.astype(np.float32), sample_rate=np.int64(RATE))
    np.testing.assert_array_equal(found["logits"], expected["logits"])
    np.testing.assert_array_equal(
        loaded.embed(clip.tolist(), sample_rate=RATE), expected["embedding"]
    )


def test_silence_is_answered(loaded, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(6_000), RATE)
    found = loaded.answer(tmp_path / "silence.wav")
    assert all(np.isfinite(values).all() for values in found.values())
    np.testing.assert_allclose(found["log_mel"], -100, atol=1e-3)
    array = loaded.answer(np.zeros(6_000), sample_rate=RATE)
    np.testing.assert_array_equal(array["logits"], found["logits"])


@pytest.mark.parametrize(
    ("clip", "rate", "message"),
    [
        (
            np.zeros(9_000),
            None,
            r"needs its sample rate: .* The model's own is 8000 Hz",
        ),
        (np.zeros((9_000, 2)), RATE, r"one channel. Received: shape=\(9000, 2\)"),
        (np.zeros((1, 9_000)), RATE, r"one channel. Received: shape=\(1, 9000\)"),
        (np.zeros(0), RATE, r"shape=\(0,\)"),
        (np.float64(0.5), RATE, r"shape=\(\)"),
        (None, RATE, r"shape=\(\), dtype=object"),
        (np.zeros(9_000, np.int16), RATE, r"floats in \[-1, 1\].*dtype=int16"),
        (np.zeros(9_000, complex), RATE, "dtype=complex128"),
        (np.r_[np.zeros(9_000), np.nan], RATE, "NaN or infinite samples"),
        (np.r_[np.zeros(9_000), np.inf], RATE, "NaN or infinite samples"),
        (np.r_[np.zeros(9_000), -1e39], RATE, "NaN or infinite samples"),
        (np.zeros(9_000), 0, "source_rate must be a whole number of Hz above 0; got 0"),
        (np.zeros(9_000), 44_100.5, "whole number of Hz above 0; got 44100.5"),
        (np.zeros(9_000), "8000", "whole number of Hz above 0; got '8000'"),
        (
            np.zeros(128),
            RATE,
            "The array: is too short, 128 samples at 8000 Hz; the mo",
        ),
        (
            np.zeros(1),
            48_000,
            "is too short, 0 samples at 8000 Hz; .* needs 129, 16 ms",
        ),
    ],
    ids=range(16),
)
def test_arrays_that_are_no_clips_are_refused(loaded, clip, rate, message):
    with pytest.raises(InputError, match=message):
        loaded.tag(clip, sample_rate=rate)


def test_the_shortest_clip_is_answered(loaded, rng):
    assert loaded.frontend.min_samples == 129
    found = loaded.answer(sound(rng, samples=129), sample_rate=RATE)
    assert found["log_mel"].shape == (2, 64)
    assert np.isfinite(found["logits"]).all()


def test_files_that_are_no_clips_are_refused_by_name(loaded, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(700), 44_100)  # 127 samples
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "nan.wav", np.full(9_000, np.nan), RATE, subtype="FLOAT")
    for name, message in {
        "short.wav": "is too short, 127 samples at 8000 Hz; the model needs 129",
        "text.wav": "is not audio in a known format",
        "nan.wav": "holds NaN or infinite samples",
        "missing.wav": "there is no such file",
        ".": "is a folder. Give one audio file",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            loaded.tag(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")


# -- Windows ---------------------------------------------------------------------------

WINDOW, HOP = 1_600, 1_200  # of 0.2 and 0.15 s


@pytest.fixture
def windowed(with_contract) -> runtime.LoadedTagger:
    return tfhier.load(with_contract(window_seconds=0.2, hop_seconds=0.15))


@pytest.mark.parametrize(
    ("samples", "num_windows"),
    [(1_600, 1), (1_601, 2), (2_800, 2), (2_801, 3), (9_999, 8), (300, 1), (1, 1)],
)
def test_a_clip_is_the_mean_of_its_windows(windowed, loaded, samples, num_windows, rng):
    """Windows that cover the clip, cut by hand; what the last one lacks is zeros."""
    clip = sound(rng, samples=samples)
    windows = []
    while not windows or (len(windows) - 1) * HOP + WINDOW < samples:
        start = len(windows) * HOP
        window = np.zeros(WINDOW, np.float32)
        part = clip[start : start + WINDOW]
        window[: len(part)] = part
        windows.append(loaded.answer(window, sample_rate=RATE))
    assert len(windows) == num_windows
    found = windowed.answer(clip, sample_rate=RATE)
    for name in ("embedding", "logits", "zebra", "animal"):
        assert_close(found[name], np.mean([each[name] for each in windows], axis=0))


def test_the_log_mel_is_that_of_the_whole_clip(windowed, loaded, rng):
    clip = sound(rng, samples=4_321)
    found = windowed.answer(clip, sample_rate=RATE)
    expected = loaded.answer(clip, sample_rate=RATE)["log_mel"]
    np.testing.assert_array_equal(found["log_mel"], expected)
    tiny = windowed.answer(clip[:50], sample_rate=RATE)["log_mel"]
    padded = np.pad(clip[:50], (0, 79))
    expected = loaded.answer(padded, sample_rate=RATE)["log_mel"]
    np.testing.assert_array_equal(tiny, expected)


def test_many_windows_are_answered_in_batches(windowed, rng, monkeypatch):
    clip = sound(rng, samples=9_999)
    expected = windowed.answer(clip, sample_rate=RATE)
    monkeypatch.setattr(runtime, "BATCH_SECONDS", 0.4)
    found = windowed.answer(clip, sample_rate=RATE)
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5)


def test_a_window_may_be_chosen_for_long_clips(with_contract, loaded, rng):
    """The mean over pieces; the last is filled up with zeros."""
    clip = sound(rng, samples=7_000)
    chosen = tfhier.load(with_contract(), window_seconds=0.25)
    pieces = np.pad(clip, (0, 1_000)).reshape(4, 2_000)
    by_hand = [loaded.answer(piece, sample_rate=RATE) for piece in pieces]
    found = chosen.answer(clip, sample_rate=RATE, with_log_mel=False)
    assert set(found) == set(by_hand[0]) - {"log_mel"}
    for name, values in found.items():
        expected = np.mean([each[name] for each in by_hand], axis=0)
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)


def test_windows_that_cannot_be_chosen_are_refused(with_contract):
    own = with_contract(window_seconds=0.2, hop_seconds=0.1)
    with pytest.raises(InputError, match=r"hears 0\.2 s at a time by itself"):
        tfhier.load(own, window_seconds=1.0)
    for seconds in (-1.0, float("nan")):
        with pytest.raises(InputError, match="windows follow each other"):
            tfhier.load(with_contract(), window_seconds=seconds)
    with pytest.raises(InputError, match="front end needs"):
        tfhier.load(with_contract(), window_seconds=0.001)


def test_samples_that_are_no_sound_are_refused(loaded, rng):
    with pytest.raises(
        InputError, match=r"samples up to [45].*e\+19, where sound lies"
    ):
        loaded.answer(1e20 * sound(rng), sample_rate=RATE)


def test_a_clip_that_resampling_leaves_nothing_of_is_refused(windowed):
    with pytest.raises(InputError, match=r"0 samples .* needs 1, 0\.12 ms"):
        windowed.tag(np.zeros(1), sample_rate=48_000)


def test_yamnet_hears_in_its_own_patches(rng, tmp_path):
    """Where a clip is some windows long, they are the patches of the whole clip."""
    experiment = SMALL.but(frontend="yamnet_16k", backbone="yamnet", width=1 / 16)
    model = whole(experiment)
    settings = {"window_seconds": 0.975, "hop_seconds": 0.48}
    saved.write(
        tmp_path / "yamnet.keras", model, promise(sample_rate=16_000, **settings)
    )
    clip = sound(rng, samples=15_600 + 2 * 7_680)
    found = tfhier.load(tmp_path / "yamnet.keras").answer(clip, sample_rate=16_000)
    frontend, body = tagger.frontend_of(model), tagger.body_of(model)
    patches = tagger.backbone_of(body)(frontend(clip[None])).numpy()[0]
    assert patches.shape == (3, 64)
    assert_close(found["embedding"], patches.mean(axis=0))
    classifier = body.get_layer("zebra_classifier")
    scores = sigmoid(patches @ classifier.kernel.numpy() + classifier.bias.numpy())
    assert_close(found["zebra"], scores.mean(axis=0))


# -- Files that are no such tagger -----------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_rate": 0}, "takes precomputed features, not sound"),
        (
            {"sample_rate": 16_000},
            "promises whole clips at 16000 Hz, but its front end takes 8000 Hz",
        ),
        (
            {"window_seconds": 0.016, "hop_seconds": 0.016},
            r"windows of 0\.016 s at 8000 Hz, but its front end needs 129 samples",
        ),
        (
            {"taxonomy": Taxonomy.flat(["a", "b"])},
            r"answers with {'zebra': 5, 'animal': 3} labels, but .* {'label': 2}",
        ),
        (
            {"taxonomy": Taxonomy.parse("zebra,animal\na,x\nb,x\nc,y\nd,y\n")},
            r"'zebra': 5, .*the taxonomy has {'zebra': 4, 'animal': 2}",
        ),
    ],
    ids=range(5),
)
def test_contracts_that_contradict_the_model_are_refused(
    with_contract, settings, message
):
    with pytest.raises(InputError, match=rf"model\.keras .*{message}"):
        tfhier.load(with_contract(**settings))


def test_a_model_of_features_is_refused_whatever_it_promises(tmp_path):
    experiment = SMALL.but(features="X", backbone="mlp")
    model = tagger.end_to_end(*tagger.build(experiment, TREE, feature_shape=(4, 8)))
    saved.write(tmp_path / "model.keras", model, promise())
    with pytest.raises(InputError, match="8000 Hz, but it takes precomputed features"):
        tfhier.load(tmp_path / "model.keras")


def test_files_that_are_no_models_are_refused(bare, tmp_path):
    with pytest.raises(InputError, match=r"There is no model .*missing\.keras"):
        tfhier.load(tmp_path / "missing.keras")
    with pytest.raises(InputError, match=r"bare\.keras does not say"):
        tfhier.load(bare)
    inputs = keras.Input((3,))
    keras.Model(inputs, layers.Dense(2)(inputs)).save(tmp_path / "dense.keras")
    contract.attach(tmp_path / "dense.keras", promise())
    with pytest.raises(InputError, match=r"dense\.keras is no tagger"):
        tfhier.load(tmp_path / "dense.keras")


def test_one_changed_bit_changes_no_answer(with_contract, loaded, rng):
    """The archive's checksums cover weights and settings: refused, or as it was."""
    path, clip = with_contract(), sound(rng, samples=2_000)
    whole_file = path.read_bytes()
    expected = loaded.answer(clip, sample_rate=RATE)
    num_refused = 0
    for place in rng.integers(0, len(whole_file), 12):
        content = bytearray(whole_file)
        content[place] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            found = tfhier.load(path).answer(clip, sample_rate=RATE)
        except InputError as error:
            assert str(path) in str(error)
            num_refused += 1
        else:
            np.testing.assert_array_equal(found["logits"], expected["logits"])
    assert num_refused > 6
