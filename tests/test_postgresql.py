"""The same tests on PostgreSQL: no stage may care which database it is."""

import os
import subprocess
import sys
from pathlib import Path

from tests.topology.peers import postgres

ROOT = Path(__file__).resolve().parents[1]
# Threads that served the event loop keep their connections until the process ends; the whole
# server is thrown away then.
WARNINGS = ["-W", "ignore:Error when trying to teardown test databases"]
TESTS = [
    "tests/api/compiled/test_agreement.py",
    "tests/api/compiled/test_values_in_plans.py",
    "tests/api/serving/test_exports.py",
    "tests/api/serving/test_live.py",
    "tests/api/test_deadlines.py",
    "tests/raw_store/test_lookup.py",
    "tests/reshape/test_load.py",
    "tests/reshape/test_neighbours.py::test_a_load_that_the_database_refuses_leaves_every_source_as_it_was",
    "tests/reshape/test_neighbours.py::test_rows_of_two_tables_that_need_each_other_load_and_leave_together",
    "tests/reshape/test_neighbours.py::test_rows_leave_with_their_targets_in_another_source",
    "tests/reshape/test_tables.py",
    "tests/test_as_of.py::test_models_links_and_rollups_are_those_of_the_moment",
    "tests/test_walk.py",
]


def test_load_and_walk_on_postgresql():
    with postgres() as url:
        environment = {**os.environ, "DATABASE_URL": url}
        environment.pop("ROOTCELLAR_TEST_HOME_OWNER", None)

        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *WARNINGS, *TESTS],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
