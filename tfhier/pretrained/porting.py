"""A published file of weights into a saved tagger, whatever family it is of."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from tfhier import contract, saved
from tfhier.contract import Contract
from tfhier.data.download import checksum
from tfhier.errors import InputError, close_names
from tfhier.files import cache_folder, require_space
from tfhier.pretrained import fetching, panns, torch_file, yamnet
from tfhier.pretrained.ported import Ported
from tfhier.pretrained.registry import CHECKPOINTS, Checkpoint
from tfhier.taxonomy import Taxonomy

FAMILIES = ("panns", "primates", "yamnet")
# Part of the names of cached ports: another number when a port comes out otherwise.
_VERSION = 1


def port(
    family: str,
    source: str | Path,
    target: str | Path,
    *,
    prefix: str | None = None,
    taxonomy: Taxonomy | None = None,
    origin: Checkpoint | None = None,
    **options,
) -> Ported:
    """Turn a published file of weights into a saved tagger.

    Args:
        family: "panns", "primates" or "yamnet".
        source: str or Path. A PyTorch checkpoint, or YAMNet's TFLite file.
        target: str or Path. The `.keras` file to write.
        prefix: str. Which network of a checkpoint that holds several.
        taxonomy: Taxonomy with the labels in the order of the classes. Defaults to that
            of the published weights.
        origin: Checkpoint that the file is, for licence and citation.
        **options: `backbone`, `frontend`, `hop_length`, `softmax` of `panns.port`;
            `frontend` of `yamnet.port`.

    Returns:
        Ported, as written.

    Raises:
        InputError: The family is unknown, the file cannot be read or is of another
            family, an option does not fit it, the target is no `.keras` file, or its
            disk has no room.
    """
    if family not in FAMILIES:
        raise InputError(
            f"There is no family of weights '{family}'.{close_names(family, FAMILIES)}"
        )
    target = Path(target)
    if target.suffix != ".keras":
        raise InputError(f"{target} is to be a .keras file: let its name end so.")
    if family == "yamnet":
        _refuse(family, {"prefix": prefix, **options}, allowed=("frontend",))
        ported = yamnet.port(source, taxonomy=taxonomy, **_given(options))
    else:
        tensors = torch_file.state_dict(source, prefix=prefix)
        ported = panns.port(tensors, taxonomy=taxonomy, **_given(options))
    digest = checksum(source, method="sha256")
    promised = Contract(
        taxonomy=ported.taxonomy,
        sample_rate=ported.sample_rate,
        softmax=bool(options.get("softmax")),
        window_seconds=ported.window_seconds,
        hop_seconds=ported.hop_seconds,
        source=f"{Path(source).name}, sha256 {digest}",
        licence=origin.licence if origin else "",
        citation=origin.citation if origin else "",
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    # h5py, inside the archive, ends the process when the disk is full: look before.
    require_space(target.parent, 8 * ported.tagger.count_params() + 2**20)
    saved.write(target, ported.tagger, promised)
    return ported


def find(name: str, *, frontend: str) -> Path:
    """Return published weights, or one's own, as a saved tagger.

    Args:
        name: str. Of `registry.CHECKPOINTS`, whose file is fetched, checked and ported,
            once; or the path of a `.keras` file.
        frontend: str. Front end that the backbone is wanted behind.

    Raises:
        InputError: There is no such name or file, or the weights cannot be had.
    """
    if name.endswith(".keras"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"There is no model {path} to start from.")
        return path
    if name not in CHECKPOINTS:
        raise InputError(
            f"There are no weights '{name}'.{close_names(name, CHECKPOINTS)} "
            "All: tfhier list weights. A model of yours is named by its path, ending "
            "in .keras."
        )
    checkpoint = CHECKPOINTS[name]
    source = fetching.locate(checkpoint)
    digest = checksum(source, method="sha256")[:12]
    target = cache_folder("ported") / f"{name}-{frontend}-{digest}-{_VERSION}.keras"
    if not _is_whole(target):
        port(checkpoint.family, source, target, frontend=frontend, origin=checkpoint)
    return target


def _is_whole(path: Path) -> bool:
    """Whether a cached port is there with every byte as it was written."""
    try:
        contract.read(path)
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    # Whatever damage makes of an archive: it is written anew.
    except (InputError, *contract.DAMAGE):
        return False


def _given(options: Mapping) -> dict:
    """Return the options that were given; a 0 or an empty name is one."""
    return {
        name: value
        for name, value in options.items()
        if value is not None and value is not False
    }


def _refuse(family: str, options: Mapping, *, allowed: tuple[str, ...]) -> None:
    """Raise an InputError for options that a family does not have."""
    foreign = [name for name in _given(options) if name not in allowed]
    if foreign:
        flags = ", ".join("--" + name.replace("_", "-") for name in foreign)
        raise InputError(f"The family '{family}' has no {flags}. Leave it out.")
