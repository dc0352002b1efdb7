"""Named front ends: what a published network hears."""

from tfhier.layers.log_mel import LogMel

# PANNs' published settings (pytorch/models.py, defaults of main.py; its CNN14 for 16
# and for 8 kHz takes no others). The 16-kHz ones are also the paper's: 32-ms Hann
# window, 10-ms hop, 64 bands from 50 Hz to 8 kHz (Zhong et al. 2023, Sec. 4.2).
#
# Primates (Pellegrini 2021, Sec. 3.1): a window of 1024 and a hop of 320 samples; the
# edges 10 Hz and 8 kHz are those of the published code. At 8 kHz, where neither states
# an upper edge, half the sample rate is our reading.
#
# YAMNet (tensorflow/models, research/audioset/yamnet: params.py and features.py): whole
# frames only, magnitudes under triangles straight in mel, ln(x + 0.001).
FRONTENDS: dict[str, dict] = {
    "panns_8k": {
        "sample_rate": 8_000,
        "num_fft": 256,
        "hop_length": 80,
        "num_mels": 64,
        "min_hertz": 50.0,
        "max_hertz": 4_000.0,
    },
    "panns_16k": {
        "sample_rate": 16_000,
        "num_fft": 512,
        "hop_length": 160,
        "num_mels": 64,
        "min_hertz": 50.0,
        "max_hertz": 8_000.0,
    },
    "panns_32k": {
        "sample_rate": 32_000,
        "num_fft": 1024,
        "hop_length": 320,
        "num_mels": 64,
        "min_hertz": 50.0,
        "max_hertz": 14_000.0,
    },
    "primates_16k": {
        "sample_rate": 16_000,
        "num_fft": 1024,
        "hop_length": 320,
        "num_mels": 64,
        "min_hertz": 10.0,
        "max_hertz": 8_000.0,
    },
    "primates_8k": {
        "sample_rate": 8_000,
        "num_fft": 1024,
        "hop_length": 320,
        "num_mels": 64,
        "min_hertz": 10.0,
        "max_hertz": 4_000.0,
    },
    "yamnet_16k": {
        "sample_rate": 16_000,
        "num_fft": 512,
        "window_length": 400,
        "hop_length": 160,
        "num_mels": 64,
        "min_hertz": 125.0,
        "max_hertz": 7_500.0,
        "scale": "kaldi",
        "exponent": 1,
        "offset": 0.001,
        "center": False,
    },
}
# What the published TFLite file of YAMNet hears, whose kernels round to 8 bits.
FRONTENDS["yamnet_16k_tflite"] = {**FRONTENDS["yamnet_16k"], "eight_bit": True}


def build(name: str) -> LogMel:
    """Return the front end of a name as a layer, waveform to log-mel.

    Raises:
        KeyError: There is no front end of that name.
    """
    return LogMel(name="log_mel", **FRONTENDS[name])


def settings_of(frontend: LogMel) -> dict:
    """Return what a front end computes, whatever it is called; defaults included."""
    foreign = ("name", "dtype", "trainable")
    config = frontend.get_config()
    return {name: value for name, value in config.items() if name not in foreign}


def name_of(frontend: LogMel, *, any_hop: bool = False) -> str:
    """Return the name of what computes the same, "" if there is none.

    Args:
        frontend: LogMel.
        any_hop: bool. Whether the hop may be another, as what is computed of a frame
            does not depend on it. Defaults to False.
    """

    def told(each: LogMel) -> dict:
        settings = settings_of(each)
        if any_hop:
            del settings["hop_length"]
        return settings

    own = told(frontend)
    return next((name for name in FRONTENDS if told(build(name)) == own), "")


def describe() -> dict[str, str]:
    """Return a sentence on every front end."""
    return {
        name: (
            f"{s['sample_rate']} Hz, {s['num_mels']} mels "
            f"{s['min_hertz']:.0f}-{s['max_hertz']:.0f} Hz, "
            f"{1000 * s.get('window_length', s['num_fft']) / s['sample_rate']:.0f}"
            "-ms Hann, "
            f"{1000 * s['hop_length'] / s['sample_rate']:.0f}-ms hop"
            + (", rounded to 8 bits" if s.get("eight_bit") else "")
        )
        for name, s in FRONTENDS.items()
    }
