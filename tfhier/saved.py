"""Saved taggers: loaded with a check, and begun from by others."""

import dataclasses
import datetime
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

import tfhier
from tfhier import audio, frontends, golden, members, tagger
from tfhier.contract import Contract
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.files import replacing
from tfhier.taxonomy import Taxonomy


def write(path: Path, model: keras.Model, promised: Contract) -> None:
    """Save a tagger with its contract and golden clip, whole or not at all.

    Args:
        path: Path of the `.keras` file.
        model: End-to-end tagger.
        promised: Contract, to which front end and versions are added.
    """
    promised = dataclasses.replace(with_frontend(model, promised), versions=versions())
    carried = {members.CONTRACT: promised.to_json().encode()}
    if promised.frontend:
        carried |= golden_of(model, promised).to_members()
    with replacing(path) as temporary:
        model.save(temporary)
        members.attach(temporary, carried)


def with_frontend(model: keras.Model, promised: Contract) -> Contract:
    """Return a contract that tells the settings of a tagger's own front end."""
    frontend = tagger.frontend_of(model)
    settings = {} if frontend is None else frontends.settings_of(frontend)
    return dataclasses.replace(promised, frontend=settings)


def golden_of(model: keras.Model, promised: Contract) -> golden.Golden:
    """Return the golden clip with the scores that a tagger gives it.

    A model with a window hears the clip cut to it, or filled up to it with zeros.
    """
    seconds = golden.SECONDS
    if promised.window_seconds:
        seconds = min(seconds, promised.window_seconds)
    waveform = golden.clip(promised.sample_rate, seconds=seconds)
    length = round(promised.window_seconds * promised.sample_rate) or len(waveform)
    found = model(audio.fix_length(waveform, length)[None], training=False)
    scores = {level: np.asarray(each)[0] for level, each in found.items()}
    labels = {
        level: promised.taxonomy.labels_of(level) for level in promised.taxonomy.levels
    }
    return golden.Golden(waveform, promised.sample_rate, scores, labels)


def versions() -> dict[str, str]:
    """Return the packages that a model is saved with, and the date."""
    backend = keras.backend.backend()
    return {
        "tfhier": tfhier.__version__,
        "keras": keras.__version__,
        backend: importlib.metadata.version(backend),
        "date": datetime.date.today().isoformat(),
    }


def load(path: Path, taxonomy: Taxonomy) -> keras.Model:
    """Load a saved tagger and check that it answers for the taxonomy.

    Raises:
        InputError: The file is missing or broken, or answers on other levels.
    """
    model = read(path)
    sizes = {level: tensor.shape[-1] for level, tensor in model.output.items()}
    if sizes != taxonomy.sizes:
        raise InputError(
            f"{path} answers with {sizes} labels, but the taxonomy has "
            f"{taxonomy.sizes}."
        )
    return model


def read(path: Path) -> keras.Model:
    """Load a saved tagger.

    Raises:
        InputError: The file is missing or broken, or no tagger of ours.
    """
    if not path.is_file():
        raise InputError(
            f"There is no model {path}. Train it first, without --test-only."
        )
    try:
        model = keras.models.load_model(path)
    except (
        *members.DAMAGE, ValueError, KeyError, TypeError, AttributeError
    ) as error:  # fmt: skip
        raise InputError(
            f"{path} is no usable Keras model ({str(error).splitlines()[0]}). Copy or "
            "port it again, or train again with --fresh."
        ) from None
    if not isinstance(getattr(model, "output", None), dict):
        raise InputError(
            f"{path} is no tagger: it does not answer with probabilities by level."
        )
    return model


def start_from(
    body: keras.Model, paths: Sequence[Path], experiment: Experiment
) -> None:
    """Give a body's backbone the weights of saved taggers.

    With the experiment's `initial_head` neck and head get theirs too.

    Args:
        body: Body of `build`.
        paths: A saved tagger for each backbone of the experiment, in their order.
        experiment: Experiment that the body was built for.

    Raises:
        InputError: There are more or fewer taggers than backbones, or a tagger does not
            load, or has another front end or layers of other shapes.
    """
    names = experiment.backbone.split("+")
    if len(paths) != len(names):
        raise InputError(
            f"initial names one experiment for each backbone, here {', '.join(names)}. "
            f"Received: {', '.join(experiment.initial)}"
        )
    for name, path in zip(names, paths, strict=True):
        model = read(path)
        source = tagger.body_of(model)
        if experiment.initial_head:
            target, what = body, f"{name}, neck and head"
        else:
            is_alone = len(names) == 1
            target = tagger.backbone_of(body) if is_alone else body.get_layer(name)
            source = tagger.backbone_of(source)
            what = f"{name} at width {experiment.width}"
        faults = [_unheard(model, experiment), _unfit(source, target, what)]
        if any(faults):
            raise InputError(
                f"{path} has {' and '.join(filter(None, faults))}. Start from another "
                "model, or make this network as that one is."
            )
        theirs = {layer.name: layer for layer in source.layers}
        for layer in target.layers:
            if layer.weights:
                layer.set_weights(theirs[layer.name].get_weights())


def _unheard(model: keras.Model, experiment: Experiment) -> str:
    """Say how a tagger's front end differs from the experiment's, "" if not at all."""
    if experiment.features:
        return ""
    frontend = tagger.frontend_of(model)
    if frontend is None:
        return "no front end, but takes precomputed features"
    name = frontends.name_of(frontend)
    if name == experiment.frontend:
        return ""
    remedy = f"--set frontend={name}"
    if not name:
        settings = frontends.settings_of(frontend)
        remedy = (
            f"none with a name: {frontend.sample_rate} Hz, {settings['num_fft']}-point "
            f"DFT, hop {settings['hop_length']}; docs/weights.md says how to name one"
        )
    return f"another front end than {experiment.frontend} ({remedy})"


def _unfit(source: keras.Model, target: keras.Model, what: str) -> str:
    """Say which layers of a model have no twin of their shape, "" if all have one."""
    theirs = {layer.name: _shapes(layer) for layer in source.layers}
    unfit = [
        layer.name
        for layer in target.layers
        if layer.weights and theirs.get(layer.name) != _shapes(layer)
    ]
    if not unfit:
        return ""
    first = unfit[0]
    shapes = f"{theirs.get(first, 'missing')} there, {_shapes(target.get_layer(first))}"
    return (
        f"other layers than {what}: {', '.join(unfit[:3])}"
        f"{' ...' * (len(unfit) > 3)} ({first}: {shapes} here; --set backbone and "
        "width as there, with initial_head also head and hidden_units)"
    )


def _shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def check_loadable(model: keras.Model) -> None:
    """Raise an InputError if a layer is of a class that loading would not find.

    Keras finds its own classes and registered ones. To learn of another only after
    training would cost all of it.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            check_loadable(layer)
        name = keras.saving.get_registered_name(type(layer))
        is_known = keras.saving.get_registered_object(name) is not None
        if not is_known and not type(layer).__module__.startswith("keras."):
            raise InputError(
                f"A saved model with the layer {type(layer).__name__} could not be "
                "loaded again. Give the class get_config and put "
                "@keras.saving.register_keras_serializable() above it."
            )
