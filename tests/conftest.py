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


def pytest_make_parametrize_id(val, argname):
    """Bytes are named after their argument: compressed ones differ from one process to the next,
    and the processes of one run must agree on the names of the tests."""
    return argname if isinstance(val, bytes) else None
