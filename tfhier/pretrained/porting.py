"""A published file of weights into a saved tagger, whatever family it is of."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tfhier import contract, members, pretrained, saved
from tfhier.data.download import checksum
from tfhier.errors import InputError, close_names
from tfhier.files import cache_folder, require_space
from tfhier.pretrained import fetching, registry
from tfhier.pretrained.ported import Ported
from tfhier.pretrained.registry import CHECKPOINTS, Checkpoint
from tfhier.taxonomy import Taxonomy

# Part of the names of cached ports: another number when a port comes out otherwise.
_VERSION = 2


def port(
    family: str,
    source: str | Path,
    target: str | Path,
    *,
    taxonomy: Taxonomy | None = None,
    origin: Checkpoint | None = None,
    **options,
) -> Ported:
    """Turn a published file of weights into a saved tagger.

    Args:
        family: str. A name of `FAMILIES`.
        source: str or Path. The file as published.
        target: str or Path. The `.keras` file to write.
        taxonomy: Taxonomy with the labels in the order of the classes. Defaults to that
            of the published weights.
        origin: Checkpoint that the file is, for licence and citation. Defaults to the
            registered one with the file's checksum, if there is one.
        **options: Those of the family: keywords of the `port` of its module. None and
            False are as if not given.

    Returns:
        Ported, as written.

    Raises:
        InputError: The family is unknown, the file cannot be read or is of another
            family, an option does not fit it, the target is no `.keras` file, or its
            disk has no room.
    """
    convert = pretrained.module_of(family).port
    target = Path(target)
    if target.suffix != ".keras":
        raise InputError(f"{target} is to be a .keras file: let its name end so.")
    options = _given(options)
    known = inspect.signature(convert).parameters
    if foreign := [name for name in options if name not in known]:
        raise InputError(
            f"The family '{family}' has no {', '.join(foreign)}. Leave it out."
        )
    ported = convert(source, taxonomy=taxonomy, **options)
    digest = checksum(source, method="sha256")
    if origin is None:
        origin, note = registry.recognise(
            Path(source).name, digest, md5=checksum(source, method="md5")
        )
        ported = replace(ported, notes=(*ported.notes, note))
    promised = replace(
        ported.contract,
        source=f"{Path(source).name}, sha256 {digest}",
        licence=origin.licence if origin else "",
        citation=origin.citation if origin else "",
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    # h5py, inside the archive, ends the process when the disk is full: look before.
    require_space(target.parent, 8 * ported.tagger.count_params() + 2**20)
    saved.write(target, ported.tagger, promised)
    return replace(ported, contract=contract.read(target))


def check(
    name: str,
    *,
    frontend: str,
    backbone: str | None = None,
    width: float | None = None,
) -> None:
    """Raise an InputError for weights that there are not, or that do not fit.

    Nothing is downloaded or loaded: of a model of one's own only its place is
    looked at.

    Args:
        name: str. As of `find`.
        frontend: str. Front end that the backbone is wanted behind.
        backbone: str. What it is wanted for. Defaults to what it is of.
        width: float > 0. Width that is wanted. Defaults to the published one.
    """
    if name.endswith(".keras"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"There is no model {path} to start from.")
        return
    if name not in CHECKPOINTS:
        raise InputError(
            f"There are no weights '{name}'.{close_names(name, CHECKPOINTS)} "
            "All: tfhier list weights. A model of yours is named by its path, ending "
            "in .keras."
        )
    own = CHECKPOINTS[name]
    changes, size = [], ""
    if frontend not in own.frontends:
        changes.append(f"frontend={own.frontends[0]}")
    if backbone not in (None, own.backbone):
        changes.append(f"backbone={own.backbone}")
    if width not in (None, 1.0):
        changes.append("width=1")
        size = " at width 1"
    if changes:
        raise InputError(
            f"{name} is {own.backbone}{size} behind {' or '.join(own.frontends)}: "
            f"--set {' '.join(changes)}"
        )


def find(name: str, *, frontend: str) -> Path:
    """Return published weights, or one's own, as a saved tagger.

    Args:
        name: str. Of `registry.CHECKPOINTS`, whose file is fetched, checked and ported,
            once; or the path of a `.keras` file.
        frontend: str. Front end that the backbone is wanted behind.

    Raises:
        InputError: There is no such name or file, it is not for that front end, or the
            weights cannot be had.
    """
    check(name, frontend=frontend)
    if name not in CHECKPOINTS:
        return Path(name).expanduser()
    checkpoint = CHECKPOINTS[name]
    source = fetching.locate(checkpoint)
    digest = checksum(source, method="sha256")[:12]
    target = cache_folder("ported") / f"{name}-{frontend}-{digest}-{_VERSION}.keras"
    if not _is_whole(target):
        try:
            port(
                checkpoint.family, source, target, frontend=frontend, origin=checkpoint
            )
        except InputError as error:
            is_ours = source.parent == cache_folder("weights")
            if not is_ours or registry.is_verified(checkpoint):
                raise
            # Nothing else could tell a network's log-in page from the weights.
            source.unlink()
            raise InputError(
                f"{error} What was downloaded is removed: run the same command again."
            ) from None
    return target


def _is_whole(path: Path) -> bool:
    """Whether a cached port is there with every byte as it was written."""
    try:
        contract.read(path)
        members.verify(path)
    except InputError:
        return False
    return True


def _given(options: Mapping) -> dict:
    """Return the options that were given; a 0 or an empty name is one."""
    return {
        name: value
        for name, value in options.items()
        if value is not None and value is not False
    }
