"""Where the recorded payloads are."""

import pytest

from tests.conftest import CORPUS


@pytest.fixture(scope="session")
def corpus_folder():
    """The folder of recorded real payloads; the test is skipped where it is absent."""
    if not CORPUS.is_dir():
        pytest.skip(f"the recorded payloads are not here: {CORPUS}")
    return CORPUS
