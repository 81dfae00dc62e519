"""What every test may use."""

from pathlib import Path

import pytest

CORPUS = Path(__file__).resolve().parent.parent.parent / "shared" / "corpus"


@pytest.fixture
def home(settings, tmp_path):
    """A home folder of the test's own: archive, records and warehouse lie below it."""
    settings.ROOTCELLAR_HOME = tmp_path
    settings.ARCHIVE_URL = str(tmp_path / "archive")
    settings.RECORDS_DIR = tmp_path / "records"
    settings.WAREHOUSE_DIR = tmp_path / "warehouse"
    return tmp_path


@pytest.fixture
def corpus():
    """The folder of recorded real payloads; the test is skipped where it is absent."""
    if not CORPUS.is_dir():
        pytest.skip(f"the recorded payloads are not here: {CORPUS}")
    return CORPUS
