"""Published weights by name: whose they are, where they lie, what they must look like.

A size or checksum is None where nobody states it, so no file is refused for a guess.

Sources:

* PANNs: Zenodo record 10.5281/zenodo.3987831 (version 3, CC BY 4.0). Its md5 sums and
  sizes are Zenodo's as several public repositories quote them; the sha256 sums are
  what their authors found for copies with those md5 sums.
  The mAP, in the file names too, is that of AudioSet's evaluation clips. Of CNN14 at
  16 kHz it is higher than in the paper: it was trained by a later version of the code.
* Primates: github.com/topel/ComParE2021_PRS at 5cd46d4, which states no licence. The
  mAP, again from the file name, is that of the development clips. The weights are the
  moving average; the running statistics of normalisations are those of the live model.
* YAMNet: tensorflow/models, research/audioset/yamnet (Apache-2.0). Its README states
  the mAP over 521 classes of AudioSet's evaluation clips. The file is a whole tagger,
  waveform to scores, for TensorFlow Lite; its size and sum are quoted likewise.
"""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One published file of weights.

    Args:
        name: str. What it is called here.
        family: str. A name of `FAMILIES`: whose layout the file has.
        url: str. The published address.
        filename: str. As published.
        size: int or None. Bytes.
        md5: str or None. Hexadecimal digits.
        sha256: str or None. Hexadecimal digits.
        backbone: str. A name of `BACKBONES`, at width 1.
        frontends: Tuple of str. Names of `FRONTENDS` that it may be put behind, the
            best one for training first.
        taxonomy: str. Of the package; its finest level are the outputs, in order.
        licence: str. Of the weights.
        citation: str.
        score: float. The published mAP, in [0, 1].
        editions: Tuple of str. sha256 of other files that count as this one.
    """

    name: str
    family: str
    url: str
    filename: str
    size: int | None
    md5: str | None
    sha256: str | None
    backbone: str
    frontends: tuple[str, ...]
    taxonomy: str
    licence: str
    citation: str
    score: float
    editions: tuple[str, ...] = ()


PANNS_CITATION = (
    "Kong, Cao, Iqbal, Wang, Wang and Plumbley: PANNs: Large-Scale Pretrained Audio "
    "Neural Networks for Audio Pattern Recognition. IEEE/ACM TASLP 28, 2880-2894, 2020"
)
PRIMATES_CITATION = (
    "Pellegrini: Deep-learning-based central African primate species classification "
    "with MixUp and SpecAugment. Interspeech 2021"
)
YAMNET_CITATION = (
    "Plakal and Ellis: YAMNet. github.com/tensorflow/models, research/audioset/yamnet"
)


def _panns(
    name: str,
    network: str,
    backbone: str,
    score: str,
    *,
    frontend: str = "panns_32k",
    size: int | None = None,
    md5: str | None = None,
    sha256: str | None = None,
) -> Checkpoint:
    """One file of PANNs' record; `network` and `score` as its name spells them."""
    return Checkpoint(
        name=name,
        family="panns",
        # The "=" of the name, quoted as Zenodo's own links quote it.
        url=(
            f"https://zenodo.org/records/3987831/files/{network}_mAP%3D{score}.pth"
            "?download=1"
        ),
        filename=f"{network}_mAP={score}.pth",
        size=size,
        md5=md5,
        sha256=sha256,
        backbone=backbone,
        frontends=(frontend,),
        taxonomy="audioset",
        licence="CC BY 4.0",
        citation=PANNS_CITATION,
        score=float(score),
    )


_ALL = (
    _panns(
        "panns_cnn6", "Cnn6", "cnn6", "0.343", md5="e25e26b84585b14c7754c91e48efc9be"
    ),
    _panns(
        "panns_cnn10",
        "Cnn10",
        "cnn10",
        "0.380",
        size=25_237_595,
        md5="bfb1f1f9968938fa8ef4012b8471f5f6",
    ),
    _panns(
        "panns_cnn14",
        "Cnn14",
        "cnn14",
        "0.431",
        size=327_428_481,
        md5="541141fa2ee191a88f24a3219fff024e",
        sha256="0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
    ),
    _panns(
        "panns_cnn14_16k",
        "Cnn14_16k",
        "cnn14",
        "0.438",
        frontend="panns_16k",
        size=358_668_570,
        md5="362fc5ff18f1d6ad2f6d464b45893f2c",
        sha256="e2ee543a27919542c2ea03eabaa70b24dcd4e6c8e05621de6b67a94e4c5058e6",
    ),
    _panns("panns_cnn14_8k", "Cnn14_8k", "cnn14", "0.416", frontend="panns_8k"),
    _panns(
        "panns_mobilenet_v1",
        "MobileNetV1",
        "mobilenet_v1",
        "0.389",
        size=23_639_473,
        md5="a419303e1c88aa1b9d2ac3811563d371",
    ),
    _panns(
        "panns_resnet22",
        "ResNet22",
        "resnet22",
        "0.430",
        md5="cf36d413096793c4e15dc752a3abd599",
    ),
    Checkpoint(
        name="primates_cnn10",
        family="primates",
        # `best_ema_model_936.pth` beside it is a link to it, which raw addresses do not
        # follow.
        url=(
            "https://github.com/topel/ComParE2021_PRS/raw/"
            "5cd46d493297bc634a9bae2576955cae7cb2e926/saved_models/"
            "Cnn10_ema_59200_iterations_0.936_devel_uar_0.970_map.pth"
        ),
        filename="Cnn10_ema_59200_iterations_0.936_devel_uar_0.970_map.pth",
        size=None,
        md5=None,
        sha256=None,
        backbone="cnn10",
        frontends=("primates_16k",),
        taxonomy="primates",
        licence="none stated",
        citation=PRIMATES_CITATION,
        score=0.970,
    ),
    Checkpoint(
        name="yamnet",
        family="yamnet",
        url=(
            "https://storage.googleapis.com/mediapipe-models/audio_classifier/yamnet/"
            "float32/1/yamnet.tflite"
        ),
        filename="yamnet.tflite",
        size=4_126_810,
        md5=None,
        sha256="4d8b4a53282dc83ef04e3e7dbc4fbc98082e34e44ed798e16c3a0cdd4c584faf",
        backbone="yamnet",
        frontends=("yamnet_16k", "yamnet_16k_tflite"),
        taxonomy="yamnet",
        licence="Apache-2.0",
        citation=YAMNET_CITATION,
        score=0.306,
        editions=(
            # Computed from a file of 3,959,752 bytes without labels inside; where that
            # one was published is not known.
            "687f226c147a2caab4706fbbab5e9cecb14b9a368264bf61108078b1fddf68f5",
            # tfhub.dev/google/lite-model/yamnet/classification/tflite/1 and Kaggle's
            # google/yamnet/tfLite/classification-tflite/1: 4,126,810 bytes as well.
            "10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de",
        ),
    ),
)

CHECKPOINTS: dict[str, Checkpoint] = {each.name: each for each in _ALL}


def recognise(filename: str, sha256: str, *, md5: str) -> tuple[Checkpoint | None, str]:
    """Return which published checkpoint a file is, and a sentence on that.

    Args:
        filename: str. Name of the file, which a published one may have lost.
        sha256: str. Its sum in hexadecimal digits.
        md5: str. Likewise.

    Returns:
        Tuple of the Checkpoint with these sums, None where none has, and the sentence.
    """
    for each in CHECKPOINTS.values():
        if {sha256, md5} & {each.md5, each.sha256, *each.editions} - {None}:
            return each, f"The file is {each.name} as published, by its checksum."
    for each in CHECKPOINTS.values():
        if each.filename == filename and is_verified(each):
            return None, (
                f"The file is called as {each.name} but is NOT the published one: its "
                "checksum is another. It may be damaged, or trained on."
            )
    return None, "The file is none whose checksum is known."


def is_verified(checkpoint: Checkpoint) -> bool:
    """Whether a checksum of the file is stated."""
    return bool(checkpoint.md5 or checkpoint.sha256 or checkpoint.editions)


def megabytes(checkpoint: Checkpoint) -> str:
    """Return a file's size for people: "25.2 MB"."""
    if checkpoint.size is None:
        return "size not stated"
    return f"{checkpoint.size / 1e6:.1f} MB"


def describe() -> dict[str, str]:
    """Return a sentence on every checkpoint."""
    return {
        name: (
            f"{each.backbone} on {' or '.join(each.frontends)}, labels of "
            f"{each.taxonomy}, mAP {each.score:.3f}; {megabytes(each)}, "
            f"{_checksums(each)}, licence {each.licence}"
        )
        for name, each in CHECKPOINTS.items()
    }


def _checksums(checkpoint: Checkpoint) -> str:
    """Return which checksums of a file are stated, in words."""
    stated = [kind for kind in ("md5", "sha256") if getattr(checkpoint, kind)]
    return f"{' and '.join(stated) or 'no checksum'} stated"


def to_dict() -> dict[str, dict]:
    """Return all that is known of every checkpoint, for programs."""
    return {name: asdict(each) for name, each in CHECKPOINTS.items()}
