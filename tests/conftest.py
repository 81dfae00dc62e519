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
