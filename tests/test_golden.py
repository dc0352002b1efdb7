"""The golden clip, and the small files that a model carries."""

import random
import zipfile

import numpy as np
import pytest
import soundfile

from tfhier import golden, members, saved, tagger
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.taxonomy import Taxonomy

TREE = Taxonomy.parse("fine,coarse\na,x\nb,x\nc,y\n")
SMALL = Experiment(frontend="panns_8k", backbone="cnn6", width=1 / 32, head="gmp")


@pytest.fixture(scope="module")
def model():
    return tagger.end_to_end(*tagger.build(SMALL, TREE))


def write(path, model, **more):
    saved.write(path, model, Contract(taxonomy=TREE, sample_rate=8_000, **more))
    return path


def of_scores(**scores) -> golden.Golden:
    return golden.Golden(golden.clip(8_000), 8_000, scores)


@pytest.mark.parametrize("rate", [8_000, 16_000, 32_000, 384_000])
def test_the_clip_is_the_same_sound_at_every_rate(rate):
    clip = golden.clip(rate)
    assert clip.shape == (rate,)
    assert clip.dtype == np.float32
    assert np.abs(clip).max() == 0.5
    np.testing.assert_array_equal(clip, golden.clip(rate))
    # Sound all along it, low and high.
    power = np.abs(np.fft.rfft(clip.reshape(10, -1), axis=1)) ** 2
    assert (power.sum(axis=1) > 1e-3 * power.sum()).all()
    hertz = np.fft.rfftfreq(rate // 10, 1 / rate)
    assert power[:, hertz > 0.35 * rate].sum() > 1e-3 * power.sum()


def test_a_golden_clip_travels_unchanged(tmp_path):
    scores = {"fine": np.float32([0.1, 0.9]), "coarse": np.float32([1 / 3])}
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    members.attach(tmp_path / "model.keras", of_scores(**scores).to_members())
    again = golden.read(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.waveform, golden.clip(8_000))
    assert again.sample_rate == 8_000
    assert again.difference(scores) == 0
    off = scores | {"coarse": np.float32([0.5])}
    assert again.difference(off) == pytest.approx(1 / 6, abs=1e-6)
    for level, each in scores.items():
        assert np.isnan(again.difference(scores | {level: np.nan * each}))


@pytest.mark.parametrize("window", [0.0, 0.5, 2.0])
def test_a_saved_tagger_carries_what_it_answers(model, tmp_path, window):
    path = write(tmp_path / "a.keras", model, window_seconds=window, hop_seconds=window)
    found = golden.read(path)
    heard = golden.clip(8_000, seconds=min(window or 1.0, 1.0))
    np.testing.assert_array_equal(found.waveform, heard)
    padded = np.zeros((1, round(8_000 * (window or 1.0))), np.float32)
    padded[0, : len(heard)] = heard
    expected = {level: each.numpy()[0] for level, each in model(padded).items()}
    assert found.difference(expected) < 1e-6


def test_a_model_without_a_golden_clip_is_told(tmp_path, model):
    model.save(tmp_path / "bare.keras")
    with pytest.raises(
        InputError, match=r"bare\.keras has no golden clip \(golden\.fl"
    ):
        golden.read(tmp_path / "bare.keras")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (members.GOLDEN_CLIP, b"no sound"),
        (members.GOLDEN_SCORES, b"{"),
        (members.GOLDEN_SCORES, b"[]"),
        (members.GOLDEN_SCORES, b'{"scores": {}}'),
        (members.GOLDEN_SCORES, b'{"scores": {"a": ["b"]}, "tolerance": 1}'),
    ],
)
def test_golden_clips_that_cannot_be_read_are_one_message(
    tmp_path, model, name, content
):
    path = write(tmp_path / "a.keras", model)
    members.attach(path, {name: content})
    with pytest.raises(InputError, match="has a golden clip that cannot be read"):
        golden.read(path)


def test_a_changed_byte_anywhere_in_a_model_is_seen_or_says_the_same(tmp_path, model):
    path = write(tmp_path / "a.keras", model)
    members.verify(path)
    whole, draw = path.read_bytes(), random.Random(1)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    num_refused = 0
    for _ in range(300):
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        try:
            members.verify(path)
        except InputError as error:
            num_refused += 1
            assert "it is damaged" in str(error)
        else:
            with zipfile.ZipFile(path) as archive:
                found = {name: archive.read(name) for name in archive.namelist()}
            assert found.items() <= content.items()
            assert members.CONTRACT in found
    assert num_refused > 250


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_cut_model_is_refused(tmp_path, model, share):
    path = write(tmp_path / "a.keras", model)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="copy or download it again"):
        members.verify(path)


def test_a_folder_is_checked_by_its_list_of_sums(tmp_path):
    names = ("saved_model.pb", "variables/variables.index", "assets/tfhier.json")
    content = {name: name.encode() for name in names}
    for name, each in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(each)
    with pytest.raises(InputError, match="has no list of checksums"):
        members.verify(tmp_path)
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "sha256.txt").write_bytes(members.checksums(content))
    members.verify(tmp_path)
    assert members.read(tmp_path, members.CONTRACT) == b"assets/tfhier.json"
    with pytest.raises(KeyError, match="golden"):
        members.read(tmp_path, members.GOLDEN_CLIP)
    (tmp_path / "assets" / "more").write_bytes(b"")
    with pytest.raises(InputError, match=r"assets/more is not as it was written"):
        members.verify(tmp_path)
    (tmp_path / "assets" / "more").unlink()
    (tmp_path / "variables" / "variables.index").write_bytes(b"variables/variables")
    with pytest.raises(InputError, match=r"variables\.index is not as it was wri"):
        members.verify(tmp_path)
    (tmp_path / "variables" / "variables.index").unlink()
    with pytest.raises(InputError, match=r"variables\.index \(missing\) is not"):
        members.verify(tmp_path)


def test_the_clip_can_be_played_by_anybody(tmp_path, model):
    sound = members.read(write(tmp_path / "a.keras", model), members.GOLDEN_CLIP)
    (tmp_path / "golden.flac").write_bytes(sound)
    assert soundfile.info(tmp_path / "golden.flac").duration == 1.0
