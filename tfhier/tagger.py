"""Taggers: front end, backbone and head joined into Keras functional models.

A tagger takes waveforms (batch, samples), or precomputed features, and returns a dict
of level -> probabilities (batch, labels). For training it comes in two pieces, because
mixup works between them; `end_to_end` joins the pieces, weights shared, into what is
saved.

    waveform -> front end -> log-mel -> | backbone -> embedding -> neck -> head |
                                        |                body                  |
"""

from collections.abc import Sequence

import keras

from tfhier import frontends, heads
from tfhier.backbones import BACKBONES, SMALLEST_BANDS
from tfhier.backbones.blocks import batch_norm
from tfhier.errors import InputError, close_names
from tfhier.experiment import HEAD_SETTINGS, Experiment
from tfhier.layers import LogMel, ResidualAttention, SpecAugment
from tfhier.taxonomy import Taxonomy

# The layer that ends every backbone and changes nothing: taggers are cut there.
EMBEDDING = "embedding"
_BODY = "body"


def build(
    experiment: Experiment,
    taxonomy: Taxonomy,
    *,
    feature_shape: Sequence[int] | None = None,
    frontend: LogMel | None = None,
    seed: int = 0,
) -> tuple[LogMel | None, keras.Model]:
    """Return the front end and the trainable body of an experiment's tagger.

    Args:
        experiment: Experiment. Its front end, backbone, neck, head and SpecAugment
            count.
        taxonomy: Taxonomy of the head.
        feature_shape: Shape of one clip's precomputed features, which then take the
            place of the front end. Defaults to None: audio.
        frontend: LogMel in place of the experiment's named one. Defaults to None.
        seed: int. Of the initial weights.

    Returns:
        Tuple of the front end (None for precomputed features) and a functional model
        from log-mel (batch, frames, mels) or features to {level: probabilities}.

    Raises:
        InputError: A name is unknown (close ones are offered), clips are too short for
            the front end, or maps have too few bands for the backbone.
    """
    check_names(experiment)
    keras.utils.set_random_seed(seed)
    if feature_shape is None:
        if frontend is None:
            frontend = frontends.build(experiment.frontend)
            _check_seconds(experiment, frontend)
        inputs = keras.Input((None, frontend.num_mels), name="log_mel")
    else:
        frontend = None
        inputs = keras.Input(tuple(feature_shape), name="features")
    augment = experiment.spec_augment and frontend is not None
    embedding = _embed(experiment, inputs, augment=augment, seed=seed)
    if experiment.frozen:
        for layer in keras.Model(inputs, embedding).layers:
            layer.trainable = False
    outputs = heads.HEADS[experiment.head](
        _neck(experiment, embedding, seed=seed),
        taxonomy,
        softmax=experiment.loss == "cce",
        **_options(experiment),
    )
    return frontend, keras.Model(inputs, outputs, name=_BODY)


def _options(experiment: Experiment) -> dict:
    """Return what an experiment's head takes beside embedding and taxonomy."""
    names = HEAD_SETTINGS.get(experiment.head, ())
    return {name: getattr(experiment, name) for name in names}


def _embed(experiment: Experiment, inputs, *, augment: bool, seed: int):
    """Return the embedding of a backbone, or of several side by side.

    The backbones of a fusion ("cnn10+resnet22") are models of their own, whose layers
    may then have the same names; their embeddings are concatenated.
    """
    names = experiment.backbone.split("+")
    branches = []
    for name in names:
        _check_map(name, inputs.shape[1:])
        source = inputs if len(names) == 1 else keras.Input(inputs.shape[1:])
        stripes = None
        if augment:
            stripes = SpecAugment(
                time_width=experiment.spec_time_width,
                mel_width=experiment.spec_mel_width,
                num_stripes=experiment.spec_stripes,
                per=experiment.spec_per,
                seed=seed,
                name="spec_augment",
            )
        embedding = BACKBONES[name](
            source,
            width=experiment.width,
            dropout_scale=experiment.dropout_scale,
            augment=stripes,
        )
        if len(names) > 1:
            embedding = keras.Model(source, embedding, name=name)(inputs)
        branches.append(embedding)
    if len(names) > 1:
        embedding = keras.layers.Concatenate(name="fusion")(branches)
    return keras.layers.Identity(name=EMBEDDING)(embedding)


def _neck(experiment: Experiment, embedding, *, seed: int):
    """Return what the head sees of an embedding: (batch, units).

    A hidden layer if there is one, the mean over frames where the embedding has a time
    axis, and dropout.
    """
    x = embedding
    if experiment.hidden_units:
        x = batch_norm("hidden_bn")(x)
        x = keras.layers.Dense(
            experiment.hidden_units, activation="relu", name="hidden"
        )(x)
    if len(x.shape) == 3:
        # A layer, not an operation: the names of these clash in a model loaded again.
        x = keras.layers.GlobalAveragePooling1D(name="frames_mean")(x)
    if experiment.hidden_dropout:
        x = keras.layers.Dropout(
            experiment.hidden_dropout, seed=seed, name="hidden_dropout"
        )(x)
    return x


def embedder(tagger: keras.Model, taxonomy: Taxonomy) -> keras.Model:
    """Return the part of an end-to-end tagger that its head decides from.

    Args:
        tagger: Saved tagger, see `end_to_end`.
        taxonomy: Taxonomy that it answers for.

    Returns:
        Model from waveforms or features to (batch, units): what the classifier of the
        finest level sees, behind the neck.
    """
    body = body_of(tagger)
    seen = body.get_layer(f"{taxonomy.fine}_classifier").input
    part = keras.Model(body.input, seen, name="body_without_head")
    return end_to_end(frontend_of(tagger), part, name="embedder")


def backbone_of(body: keras.Model) -> keras.Model:
    """Return a body's part from features to the embedding, weights shared."""
    embedding = body.get_layer(EMBEDDING).output
    return keras.Model(body.input, embedding, name="backbone")


def head_of(tagger: keras.Model) -> keras.Model:
    """Return a tagger's part behind the embedding, neck and head, weights shared."""
    body = body_of(tagger)
    embedding = body.get_layer(EMBEDDING).output
    if body.output is embedding:  # of an `embedder` without a neck
        inputs = keras.Input(embedding.shape[1:])
        return keras.Model(inputs, keras.layers.Identity()(inputs), name="head")
    return keras.Model(embedding, body.output, name="head")


def body_of(tagger: keras.Model) -> keras.Model:
    """Return the part of a tagger behind its front end; without one all of it."""
    return next((item for item in tagger.layers if item.name.startswith(_BODY)), tagger)


def frontend_of(tagger: keras.Model) -> LogMel | None:
    """Return a tagger's front end, None if it takes features."""
    return next((item for item in tagger.layers if isinstance(item, LogMel)), None)


def end_to_end(
    frontend: LogMel | None, body: keras.Model, *, name: str = "tagger"
) -> keras.Model:
    """Join front end and body, weights shared: waveforms in, probabilities out."""
    if frontend is None:
        inputs = keras.Input(body.input_shape[1:], name="features")
        return keras.Model(inputs, body(inputs), name=name)
    waveform = keras.Input((None,), name="waveform")
    return keras.Model(waveform, body(frontend(waveform)), name=name)


def answers(tagger: keras.Model, taxonomy: Taxonomy) -> keras.Model:
    """Return a model that answers with all that a tagger computes on its way.

    Args:
        tagger: End-to-end tagger of waveforms.
        taxonomy: Taxonomy that it answers for.

    Returns:
        Model from waveforms to a dict of `log_mel` (batch, frames, mels); `embedding`
        (batch, units), the mean over frames where it has some; `logits` (batch,
        labels), of the finest level before sigmoid or softmax; and, by level,
        probabilities.
    """
    frontend, body = frontend_of(tagger), body_of(tagger)
    classifier = body.get_layer(f"{taxonomy.fine}_classifier")
    # A twin, since what an activation is applied to is no tensor of the graph.
    twin = keras.layers.Dense.from_config(
        {**classifier.get_config(), "name": "logits", "activation": "linear"}
    )
    embedding = body.get_layer(EMBEDDING).output
    if len(embedding.shape) == 3:
        mean = keras.layers.GlobalAveragePooling1D(name="embedding_mean")
        embedding = mean(embedding)
    outputs = {
        EMBEDDING: embedding,
        "logits": twin(classifier.input),
        **body.output,
    }
    twin.set_weights(classifier.get_weights())
    wide = keras.Model(body.input, outputs, name="body_with_logits")
    waveform = keras.Input((None,), name="waveform")
    log_mel = frontend(waveform)
    found = {"log_mel": log_mel, **wide(log_mel)}
    return keras.Model(waveform, found, name="answers")


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
    body = body_of(tagger)
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
    return end_to_end(frontend_of(tagger), wide, name="tagger_with_attention")


def check_names(experiment: Experiment) -> None:
    """Raise an InputError for an unknown front end, backbone or head."""
    for kind, known in (
        ("frontend", frontends.FRONTENDS),
        ("backbone", BACKBONES),
        ("head", heads.HEADS),
    ):
        value = getattr(experiment, kind)
        for name in value.split("+") if kind == "backbone" else [value]:
            if name not in known:
                raise InputError(
                    f"There is no {kind} '{name}'.{close_names(name, known)} "
                    f"All: tfhier list {kind}s"
                )


def _check_seconds(experiment: Experiment, frontend: LogMel) -> None:
    """Raise an InputError for clips that are too short for the front end."""
    seconds = experiment.clip_seconds
    if experiment.crop_seconds:
        seconds = min(seconds, experiment.crop_seconds)
    least = frontend.min_samples
    if int(seconds * frontend.sample_rate) < least:
        raise InputError(
            f"{experiment.frontend} needs clips of {least / frontend.sample_rate:g} s "
            f"or more, but they are cut to {seconds} s. Set clip_seconds and "
            "crop_seconds to more."
        )


def _check_map(backbone: str, shape: tuple[int | None, ...]) -> None:
    """Raise an InputError for inputs with too few bands for a backbone's poolings."""
    needed = SMALLEST_BANDS.get(backbone)
    if needed and (len(shape) != 2 or shape[1] < needed):
        raise InputError(
            f"{backbone} needs maps (frames, bands) of at least {needed} bands, but "
            f"clips have the shape {shape}. Use a front end with more mels, or --set "
            "backbone=mlp for precomputed features."
        )
