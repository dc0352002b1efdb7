"""What tests of every folder share."""

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator that starts the same for every test."""
    return np.random.default_rng(20_230_604)
