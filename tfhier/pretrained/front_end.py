"""The front end that published weights were trained behind."""

from collections.abc import Mapping

import numpy as np

from tfhier import frontends
from tfhier.errors import InputError, close_names
from tfhier.frontends import FRONTENDS
from tfhier.layers import LogMel
from tfhier.pretrained import mel_matrix


def build(
    tensors: Mapping[str, np.ndarray],
    name: str | None = None,
    *,
    hop_length: int | None = None,
) -> tuple[LogMel, str]:
    """Return the front end that weights were trained behind, and a sentence on it.

    Args:
        tensors: Mapping of published name -> array.
        name: str. Name of a front end; tensors of another are refused. Defaults to what
            the tensors say.
        hop_length: int > 0. Samples between frames. Defaults to the front end's.

    Raises:
        InputError: Nothing says what the network hears, or two things differ.
    """
    if hop_length is not None and hop_length < 1:
        raise InputError(
            f"A hop is one sample or more. Received: hop_length={hop_length}"
        )
    if name is None:
        settings = mel_matrix.settings(tensors, hop_length=hop_length)
        if settings is None:
            raise InputError(
                "The weights hold no tensors of a front end, so they do not say what "
                "the network hears. Name it as frontend: "
                f"{', '.join(FRONTENDS)}."
            )
    else:
        if name not in FRONTENDS:
            raise InputError(
                f"There is no frontend '{name}'."
                f"{close_names(name, FRONTENDS)} All: tfhier list frontends"
            )
        mel_matrix.check(tensors, name)
        settings = dict(FRONTENDS[name])
        if hop_length is not None:
            settings["hop_length"] = hop_length
    log_mel = LogMel(name="log_mel", **settings)
    return log_mel, _sentence(log_mel, name, hop_length)


def _sentence(log_mel: LogMel, name: str | None, hop_length: int | None) -> str:
    """Return a sentence on where the settings of the front end come from."""
    settings = log_mel.get_config()
    hop = f"a hop of {settings['hop_length']} samples"
    if name is not None:
        found = f"The front end is {name}, as named"
    elif known := frontends.name_of(log_mel, any_hop=True):
        found = f"The front end is {known}, by the tensors"
    else:
        found = (
            f"The front end has {settings['sample_rate']} Hz, a DFT of "
            f"{settings['num_fft']} points and {settings['num_mels']} mels "
            f"{settings['min_hertz']:g}-{settings['max_hertz']:g} Hz, by the tensors"
        )
        if hop_length is None:
            return (
                f"{found}; {hop} is assumed, as the window of all published networks "
                f"is {mel_matrix.WINDOW_HOPS} hops. hop_length gives another."
            )
    if name is None and hop_length is None:
        return f"{found}; its hop, {settings['hop_length']} samples, is in no tensor."
    return f"{found}, with {hop}{' as given' if hop_length else ''}."
