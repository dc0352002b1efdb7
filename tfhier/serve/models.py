"""The models that are served: a base folder each, the highest version of it in use.

A version is a folder with a number for a name that holds a `saved_model.pb`. A version
that is replaced lives until the last request that uses it has its answer: requests hold
it, and nothing else does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tfhier import console, members, model_paths
from tfhier.errors import InputError
from tfhier.serve.signatures import DEFAULT, Signature
from tfhier.serve.status import StatusError, invalid

MODEL_FILE = "saved_model.pb"
_NAME = re.compile(r"[^/:\s]+")


@dataclass(frozen=True, eq=False)
class LoadedVersion:
    """One version of one model, loaded.

    Args:
        name: str. Of the model.
        version: int.
        definitions: SignatureDef by name, all of the file.
        signatures: Signature by name, those that can be computed.
        is_verified: bool. Whether its files are those of its checksums; a SavedModel
            of somebody else has none.
    """

    name: str
    version: int
    definitions: Mapping[str, SignatureDef]
    signatures: Mapping[str, Signature]
    is_verified: bool

    def signature(self, name: str, *, missing: StatusError) -> Signature:
        """Return a signature by name, the default one for ""."""
        found = self.signatures.get(name or DEFAULT)
        if found is None:
            raise missing
        return found


@dataclass(frozen=True)
class VersionState:
    """Where a version stands, in the words of GetModelStatus.

    Args:
        state: str. START, LOADING, AVAILABLE, UNLOADING or END.
        problem: str. Why it does not load, "" where nothing is wrong.
    """

    state: str
    problem: str = ""


class ServedModel:
    """A name, its base folder and the version in use.

    Args:
        name: str.
        base: Path. The folder with the version folders.
    """

    def __init__(self, name: str, base: Path):
        self.name = name
        self.base = base
        self.current: LoadedVersion | None = None
        self.states: dict[int, VersionState] = {}
        self._failed: dict[int, tuple] = {}

    def refresh(self) -> bool:
        """Switch to the highest version that loads, if it is not the one in use.

        A lower one takes over only where the folder of the one in use is gone; where
        all are gone it goes on.

        Returns:
            Whether the version in use is another one now.

        Raises:
            InputError: One does not load. Said once for the same files; the version in
                use goes on.
        """
        found = model_paths.versions(self.base)
        for version in sorted(found, reverse=True):
            if self.current and version == self.current.version:
                return False
            seen = _fingerprint(found[version])
            if self._failed.get(version) != seen:
                self._switch(version, found[version], seen)
                return True
        return False

    def _switch(self, version: int, folder: Path, seen: tuple) -> None:
        self.states = {**self.states, version: VersionState("LOADING")}
        try:
            loaded = load(self.name, version, folder)
        except InputError as error:
            self._failed[version] = seen
            self.states = {**self.states, version: VersionState("END", str(error))}
            raise
        states = {**self.states, version: VersionState("AVAILABLE")}
        if self.current:
            states[self.current.version] = VersionState("END")
        self.current, self.states = loaded, states


class Models:
    """All models of a server.

    Args:
        folders: Base folders by name.

    Raises:
        InputError: There is none, or a name cannot stand in an address.
    """

    def __init__(self, folders: Mapping[str, Path]):
        if not folders:
            raise InputError("There is no model to serve. Give at least one.")
        for name in folders:
            if not _NAME.fullmatch(name):
                raise InputError(
                    f"A model is served under a name without spaces, '/' and ':'. "
                    f"Received: {name!r}"
                )
        self._models = {
            name: ServedModel(name, Path(base)) for name, base in folders.items()
        }

    def load(self) -> None:
        """Load the highest version of every model.

        Raises:
            InputError: A model has no version, or its highest does not load.
        """
        for model in self._models.values():
            if not model.refresh():
                raise InputError(_why_empty(model.base))
            _say(model)

    def poll(self) -> None:
        """Look for other versions; one that does not load is said and left alone."""
        for model in self._models.values():
            try:
                if model.refresh():
                    _say(model)
            # Whatever it is, the versions in use and the other models must go on.
            except Exception as error:
                console.line(
                    "failed",
                    f"{model.name}: {error} Version {model.current.version} goes on.",
                )

    def is_ready(self) -> bool:
        """Return whether every model has a version in use."""
        return all(model.current for model in self._models.values())

    def serves(self, name: str) -> bool:
        """Return whether a model of this name is served."""
        return name in self._models

    def find(
        self, name: str, *, version: int | None = None, label: str = ""
    ) -> LoadedVersion:
        """Return what answers for a model.

        Args:
            name: str.
            version: int or None. The only version that will do.
            label: str. Name of a version; there are none.

        Raises:
            StatusError: NOT_FOUND for another name or version, INVALID_ARGUMENT for a
                label.
        """
        if label:
            raise invalid(f"Unrecognized servable version label: {label}")
        model = self._models.get(name)
        servable = model.current if model else None
        if servable is None or version not in (None, servable.version):
            wanted = f"Latest({name})"
            if version is not None:
                wanted = f"Specific({name}, {version})"
            raise StatusError(
                StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}"
            )
        return servable

    def states(
        self, name: str, *, version: int | None = None
    ) -> dict[int, VersionState]:
        """Return where the versions of a model stand, the highest first.

        Raises:
            StatusError: NOT_FOUND for another name or version.
        """
        model = self._models.get(name)
        states = model.states if model else {}
        if version is not None and version not in states:
            raise StatusError(
                StatusCode.NOT_FOUND,
                f"Could not find version {version} of model {name}",
            )
        if not states:
            raise StatusError(
                StatusCode.NOT_FOUND, f"Could not find any versions of model {name}"
            )
        wanted = states if version is None else [version]
        return {number: states[number] for number in sorted(wanted, reverse=True)}


def load(name: str, version: int, folder: Path) -> LoadedVersion:
    """Load a SavedModel, its files compared with its checksums if it has any.

    Raises:
        InputError: A file was altered; the folder holds no SavedModel that this
            TensorFlow can load, or one without signatures.
    """
    is_verified = _verified(folder)
    try:
        content = SavedModel.FromString((folder / MODEL_FILE).read_bytes())
        loaded = tf.saved_model.load(str(folder))
    # A damaged or foreign file makes TensorFlow raise almost anything.
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{folder} cannot be loaded as a SavedModel ({said:.300}). Export or copy "
            "it again."
        ) from error
    definitions = dict(content.meta_graphs[0].signature_def)
    signatures = {
        key: Signature(key, definitions[key], function)
        for key, function in loaded.signatures.items()
    }
    if not signatures:
        raise InputError(f"{folder} has no signatures. Export it with at least one.")
    return LoadedVersion(name, version, definitions, signatures, is_verified)


def _verified(folder: Path) -> bool:
    """Return whether there are checksums, which the files then agree with."""
    try:
        members.read(folder, members.CHECKSUMS)
    except KeyError:
        return False
    members.verify(folder)
    return True


def _fingerprint(folder: Path) -> tuple:
    """Return what changes when somebody mends the files of a version."""
    return tuple(
        (str(path), path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    )


def _why_empty(base: Path) -> str:
    if not base.is_dir():
        return f"There is no folder {base}. Give the folder that holds the versions."
    if (base / MODEL_FILE).exists():
        return (
            f"{base} is a SavedModel itself, and a folder of versions was expected: "
            f"move it to {base / '1'} and give {base}."
        )
    return (
        f"{base} holds no version: folders 1, 2 ... with a {MODEL_FILE} were expected. "
        "Export a model into one."
    )


def _say(model: ServedModel) -> None:
    names = ", ".join(sorted(model.current.signatures))
    title = f"{model.name} version {model.current.version}"
    console.line("model", f"{title}: {names}")
    if not model.current.is_verified:
        console.line(
            "model",
            f"{title} has no checksums (assets.extra/{members.CHECKSUMS}): whether "
            "its files are whole is not known",
        )
