"""What tests of the export share: a small tagger, converted once."""

import pytest

from tests.export.small_tagger import SAMPLES, convert


@pytest.fixture(scope="session")
def fixed(tmp_path_factory) -> bytes:
    return convert((1, SAMPLES), tmp_path_factory.mktemp("fixed"))


@pytest.fixture(scope="session")
def any_length(tmp_path_factory) -> bytes:
    return convert((None, None), tmp_path_factory.mktemp("any"))
