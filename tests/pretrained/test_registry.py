"""The registry of published weights."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tfhier import taxonomy
from tfhier.backbones import BACKBONES
from tfhier.frontends import FRONTENDS
from tfhier.pretrained import FAMILIES
from tfhier.pretrained.registry import (
    CHECKPOINTS,
    describe,
    is_verified,
    recognise,
    to_dict,
)

ROOT = Path(__file__).parents[2]


def test_the_names_are_these():
    assert list(CHECKPOINTS) == [
        "panns_cnn6", "panns_cnn10", "panns_cnn14", "panns_cnn14_16k",
        "panns_cnn14_8k", "panns_mobilenet_v1", "panns_resnet22", "primates_cnn10",
        "yamnet",
    ]  # fmt: skip
    assert all(each.name == name for name, each in CHECKPOINTS.items())


def test_front_ends_are_those_of_the_rates():
    first = {name: each.frontends[0] for name, each in CHECKPOINTS.items()}
    assert first == {
        "panns_cnn6": "panns_32k", "panns_cnn10": "panns_32k",
        "panns_cnn14": "panns_32k", "panns_cnn14_16k": "panns_16k",
        "panns_cnn14_8k": "panns_8k", "panns_mobilenet_v1": "panns_32k",
        "panns_resnet22": "panns_32k", "primates_cnn10": "primates_16k",
        "yamnet": "yamnet_16k",
    }  # fmt: skip


def test_no_published_sum_was_mistyped_since_it_was_checked():
    # Sizes and sums as other projects quote them; a new or corrected one changes this.
    sums = [
        f"{name} {each.size} {each.md5} {each.sha256} {' '.join(each.editions)}"
        for name, each in sorted(CHECKPOINTS.items())
    ]
    digest = hashlib.sha256("\n".join(sums).encode()).hexdigest()
    assert digest[:16] == "f6cbf3606fecc9e4"


@pytest.mark.parametrize("each", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_every_checkpoint_names_what_there_is(each):
    assert each.name.startswith(each.family)
    # The address and the file name are one name, quoted and not.
    assert unquote(urlsplit(each.url).path.rsplit("/", 1)[1]) == each.filename
    assert each.url.startswith("https://")
    sums = [(each.md5, 32), (each.sha256, 64), *((one, 64) for one in each.editions)]
    for digits, length in sums:
        assert digits is None or (len(digits) == length and int(digits, 16) >= 0)
    assert each.family in FAMILIES
    assert each.backbone in BACKBONES
    assert set(each.frontends) <= set(FRONTENDS)
    assert each.taxonomy in taxonomy.names()
    assert 0.0 < each.score < 1.0
    assert each.licence
    assert each.citation


@pytest.mark.parametrize(
    "each", [c for c in CHECKPOINTS.values() if c.family != "yamnet"], ids=str
)
def test_the_score_is_that_of_the_file_name(each):
    assert f"{each.score:.3f}" in each.filename


@pytest.mark.parametrize(
    "each",
    [c for c in CHECKPOINTS.values() if c.family == "panns" and c.size],
    ids=lambda each: each.name,
)
def test_a_stated_size_holds_our_network(each):
    """Four bytes a weight of ours, the classifier and the front end; little more."""
    import keras

    log_mel = keras.Input((None, 64))
    body = keras.Model(log_mel, BACKBONES[each.backbone](log_mel))
    num_bins = FRONTENDS[each.frontends[0]]["num_fft"] // 2 + 1
    front_end = num_bins * (2 * FRONTENDS[each.frontends[0]]["num_fft"] + 64)
    classifier = 527 * (body.output_shape[-1] + 1)
    least = 4 * (body.count_params() + classifier + front_end)
    # CNN14 at 16 kHz comes with the state of its sampler.
    assert 0 < each.size - least < (40e6 if each.name == "panns_cnn14_16k" else 40e3)


def test_every_checkpoint_is_described():
    sentences = describe()
    assert list(sentences) == list(CHECKPOINTS)
    assert sentences["panns_cnn10"] == (
        "cnn10 on panns_32k, labels of audioset, mAP 0.380; 25.2 MB, md5 stated, "
        "licence CC BY 4.0"
    )
    assert sentences["primates_cnn10"].endswith(
        "; size not stated, no checksum stated, licence none stated"
    )
    assert "md5 and sha256 stated" in sentences["panns_cnn14"]
    assert "on yamnet_16k or yamnet_16k_tflite, " in sentences["yamnet"]


@pytest.mark.parametrize("each", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_checkpoint_is_known_by_every_checksum_of_its_file(each):
    for digest in {each.md5, each.sha256, *each.editions} - {None}:
        for sums in ({"sha256": digest, "md5": ""}, {"sha256": "", "md5": digest}):
            found, note = recognise("renamed.pth", **sums)
            assert found is each
            assert note == f"The file is {each.name} as published, by its checksum."


@pytest.mark.parametrize("each", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_another_file_of_a_published_name_is_told(each):
    found, note = recognise(each.filename, sha256="1", md5="2")
    assert found is None
    assert ("NOT the published one" in note) == is_verified(each)
    assert recognise("mine.pth", sha256="1", md5="2") == (
        None, "The file is none whose checksum is known.",
    )  # fmt: skip


def test_programs_get_all_that_is_known():
    found = json.loads(json.dumps(to_dict()))
    assert list(found) == list(CHECKPOINTS)
    assert found["panns_cnn14"]["md5"] == CHECKPOINTS["panns_cnn14"].md5
    assert found["yamnet"]["url"].startswith("https://")


def test_the_registry_is_light():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, tfhier.pretrained.registry\n"
         "print(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    packages = {name.split(".")[0] for name in done.stdout.split()}
    assert not packages & {"numpy", "tensorflow", "keras"}
