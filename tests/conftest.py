"""What every test may use."""

from pathlib import Path

import pytest

# Files of few tests that take long. They go first: at the end, one of them would be waited for
# while the other process of `make test` has nothing left.
LONG = (
    "tests/crash/",
    "tests/topology/",
    "tests/api/compiled/test_agreement.py",
    "tests/test_postgresql.py",
    "tests/test_demo.py",
    "tests/test_replay_stopped.py",
    "tests/warehouse/sql_pool/test_hostile.py",
)
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


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
