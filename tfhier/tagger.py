"""Taggers: front end, backbone and head joined into Keras functional models.

A tagger takes waveforms (batch, samples), or precomputed features, and returns a dict
of level -> probabilities (batch, labels). For training it comes in two pieces, because
mixup works between them; `end_to_end` joins the pieces, weights shared, into what is
saved.
"""

from collections.abc import Sequence

import keras

from tfhier import frontends, heads
from tfhier.backbones import BACKBONES, SMALLEST_MAP
from tfhier.errors import InputError, close_names
from tfhier.experiment import Experiment
from tfhier.layers import LogMel, ResidualAttention, SpecAugment
from tfhier.taxonomy import Taxonomy


def build(
    experiment: Experiment,
    taxonomy: Taxonomy,
    *,
    feature_shape: Sequence[int] | None = None,
    seed: int = 0,
) -> tuple[LogMel | None, keras.Model]:
    """Return the front end and the trainable body of an experiment's tagger.

    Args:
        experiment: Experiment. Its front end, backbone, width, head and SpecAugment
            count.
        taxonomy: Taxonomy of the head.
        feature_shape: Shape of one clip's precomputed features, which then take the
            place of the front end. Defaults to None: audio.
        seed: int. Of the initial weights.

    Returns:
        Tuple of the front end (None for precomputed features) and a functional model
        from log-mel (batch, frames, mels) or features to {level: probabilities}.

    Raises:
        InputError: A name is unknown (close ones are offered), or clips are too short
            for the backbone.
    """
    check_names(experiment)
    keras.utils.set_random_seed(seed)
    if feature_shape is None:
        frontend = frontends.build(experiment.frontend)
        seconds = experiment.clip_seconds
        if experiment.crop_seconds:
            seconds = min(seconds, experiment.crop_seconds)
        frames = 1 + int(seconds * frontend.sample_rate) // frontend.hop_length
        _check_map(experiment.backbone, (frames, frontend.num_mels), f"{seconds} s")
        inputs = keras.Input((None, frontend.num_mels), name="log_mel")
    else:
        frontend = None
        _check_map(experiment.backbone, tuple(feature_shape), "features")
        inputs = keras.Input(tuple(feature_shape), name="features")
    augment = None
    if experiment.spec_augment and frontend is not None:
        augment = SpecAugment(name="spec_augment", seed=seed)
    embedding = BACKBONES[experiment.backbone](
        inputs,
        width=experiment.width,
        dropout_scale=experiment.dropout_scale,
        augment=augment,
    )
    outputs = heads.HEADS[experiment.head](embedding, taxonomy)
    return frontend, keras.Model(inputs, outputs, name="body")


def end_to_end(
    frontend: LogMel | None, body: keras.Model, *, name: str = "tagger"
) -> keras.Model:
    """Join front end and body, weights shared: waveforms in, probabilities out."""
    if frontend is None:
        inputs = keras.Input(body.input_shape[1:], name="features")
        return keras.Model(inputs, body(inputs), name=name)
    waveform = keras.Input((None,), name="waveform")
    return keras.Model(waveform, body(frontend(waveform)), name=name)


def attention_maps(tagger: keras.Model) -> keras.Model:
    """Return a model that also answers with ResAtt's attention maps.

    Args:
        tagger: An end-to-end tagger with the head `resatt`, or any functional model
            with that head and a dict of outputs.

    Returns:
        Model with the tagger's outputs and, for every level above the finest,
        `{level}_attention`: (batch, labels of the level below, labels), columns sum to
        1.

    Raises:
        InputError: The tagger has no residual attention.
    """
    body = next((item for item in tagger.layers if item.name == "body"), tagger)
    layers = [item for item in body.layers if isinstance(item, ResidualAttention)]
    if not layers:
        raise InputError(
            "Only taggers with the head 'resatt' have attention maps. This one has "
            "none."
        )
    outputs = dict(body.output)
    for layer in layers:
        twin = ResidualAttention.from_config(
            {
                **layer.get_config(),
                "name": f"{layer.name}_map",
                "return_attention_scores": True,
            }
        )
        outputs[layer.name] = twin(layer.input)[1]
        twin.set_weights(layer.get_weights())
    wide = keras.Model(body.input, outputs, name="body_with_attention")
    if body is tagger:
        return wide
    before = [item for item in tagger.layers if isinstance(item, LogMel)]
    return end_to_end(before[0] if before else None, wide, name="tagger_with_attention")


def check_names(experiment: Experiment) -> None:
    """Raise an InputError for an unknown front end, backbone or head."""
    for kind, known in (
        ("frontend", frontends.FRONTENDS),
        ("backbone", BACKBONES),
        ("head", heads.HEADS),
    ):
        name = getattr(experiment, kind)
        if name not in known:
            raise InputError(
                f"There is no {kind} '{name}'.{close_names(name, known)} "
                f"All: tfhier list {kind}s"
            )


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


def _check_map(backbone: str, shape: tuple[int, ...], what: str) -> None:
    """Raise an InputError for inputs too small for the poolings of a backbone."""
    needed = SMALLEST_MAP.get(backbone)
    if needed and (len(shape) != 2 or min(shape) < needed):
        raise InputError(
            f"{backbone} needs maps of at least {needed} frames x {needed} bands, but "
            f"a clip of {what} has the shape {shape}. Use longer clips, or --set "
            "backbone=mlp for precomputed features."
        )
