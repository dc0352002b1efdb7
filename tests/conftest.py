"""What tests of every folder share."""

import gc

import numpy as np
import pytest


def pytest_collection_finish() -> None:
    # Whoever builds a network has Keras forget the last one, which searches all objects
    # for garbage; those of the packages and tests themselves are none.
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator that starts the same for every test."""
    return np.random.default_rng(20_230_604)
