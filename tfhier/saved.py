"""Saved taggers: loaded with a check, and begun from by others."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import keras

from tfhier import frontends, tagger
from tfhier.errors import InputError
from tfhier.experiment import Experiment
from tfhier.layers import LogMel
from tfhier.taxonomy import Taxonomy


def load(path: Path, taxonomy: Taxonomy) -> keras.Model:
    """Load a saved tagger and check that it answers for the taxonomy.

    Raises:
        InputError: The file is missing or broken, or answers on other levels.
    """
    if not path.is_file():
        raise InputError(
            f"There is no model {path}. Train it first, without --test-only."
        )
    try:
        model = keras.models.load_model(path)
    except (
        ValueError, OSError, KeyError, TypeError, AttributeError, EOFError,
        NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise InputError(
            f"{path} is no usable Keras model ({str(error).splitlines()[0]}). Train "
            "again with --fresh."
        ) from None
    sizes = {level: tensor.shape[-1] for level, tensor in model.output.items()}
    if sizes != taxonomy.sizes:
        raise InputError(
            f"{path} answers with {sizes} labels, but the taxonomy has "
            f"{taxonomy.sizes}."
        )
    return model


def start_from(
    body: keras.Model,
    paths: Sequence[Path],
    experiment: Experiment,
    taxonomy: Taxonomy,
) -> None:
    """Give a body's backbone the weights of saved taggers.

    Args:
        body: Body of `build`.
        paths: A saved tagger for each backbone of the experiment, in their order.
        experiment: Experiment that the body was built for.
        taxonomy: Taxonomy of the body and the taggers.

    Raises:
        InputError: There are more or fewer taggers than backbones, or a tagger does not
            load, or has another front end or a backbone with other layers.
    """
    names = experiment.backbone.split("+")
    if len(paths) != len(names):
        raise InputError(
            f"initial names one experiment for each backbone, here {', '.join(names)}. "
            f"Received: {', '.join(experiment.initial)}"
        )
    for name, path in zip(names, paths, strict=True):
        is_alone = len(names) == 1
        target = (
            tagger.backbone_of(body, taxonomy) if is_alone else body.get_layer(name)
        )
        model = load(path, taxonomy)
        source = tagger.backbone_of(tagger.body_of(model), taxonomy)
        own = [layer for layer in target.layers if layer.weights]
        theirs = {layer.name: layer for layer in source.layers}
        fits = all(
            layer.name in theirs
            and [w.shape for w in layer.weights]
            == [w.shape for w in theirs[layer.name].weights]
            for layer in own
        )
        if not fits:
            raise InputError(
                f"{path} has another backbone than {name} at width {experiment.width}. "
                "Give initial experiments of the same backbone and width."
            )
        heard = _settings(tagger.frontend_of(model))
        if (
            not experiment.features
            and heard != frontends.FRONTENDS[experiment.frontend]
        ):
            raise InputError(
                f"{path} has another front end than {experiment.frontend}. Give "
                "initial experiments of the same front end."
            )
        for layer in own:
            layer.set_weights(theirs[layer.name].get_weights())


def _settings(frontend: LogMel | None) -> dict:
    """Return what `frontends.FRONTENDS` says of a front end."""
    config = {} if frontend is None else frontend.get_config()
    names = next(iter(frontends.FRONTENDS.values()))
    return {name: config[name] for name in names if name in config}


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
