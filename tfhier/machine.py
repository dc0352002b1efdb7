"""Where, when and with what numbers were made: what stands beside every figure."""

import datetime
import functools
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

import keras

import tfhier


def describe() -> dict[str, str | int]:
    """Return date, processor and versions."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "num_cores": os.cpu_count(),
        "gpus": len(keras.distribution.list_devices("gpu")),
        "python": platform.python_version(),
        "tensorflow": importlib.metadata.version("tensorflow"),
        "keras": keras.__version__,
        "tfhier": tfhier.__version__,
        "code": code_digest(),
    }


@functools.cache
def code_digest() -> str:
    """Return 8 hexadecimal digits that stand for the package's source files.

    A version number outlives many states of a checkout; this does not.
    """
    home = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        digest.update(path.relative_to(home).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def _processor() -> str:
    """Return the processor's model as Linux knows it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return models[0].strip() if models else platform.machine()
