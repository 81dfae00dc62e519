"""A compaction that is killed loses no row, and shows none twice to whoever reads meanwhile."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from .compact import Compact
from .harness import run
from .plain import Plain
from .stages import CI
from .victims import hear_all

SWAP = {"kind": "statement", "number": 1}
"""The first statement of a compaction is that of the swap; its files are whole by then."""


def test_killed_compactions_lose_nothing_and_show_nothing_twice(tmp_path):
    report = run(Compact, CI["compact"], tmp_path)

    assert report.violations == 0, report
    assert report.acknowledged > 100


@pytest.fixture
def home(forks, home):
    """A home with five segments of desks."""
    forks.finish("desks:write", home, round_=1, segments=5)
    return home


def test_a_merge_that_was_killed_is_not_adopted_beside_the_one_that_was_finished(forks, home):
    victim = forks.start("compact:compact", home, aim=SWAP, feeds=None)
    hear_all(victim)
    assert victim.ended == -9
    assert len(Plain(home).visible_segments()) == 6

    forks.finish("compact:compact", home, feeds=None)
    (told,) = forks.finish("work:clear_up", home)

    assert (told["problems"], told["adopted"]) == ([], 0)
    assert set(Plain(home).visible_rows().values()) == {1}


def test_gc_with_an_index_from_before_a_compaction_loses_nothing(forks, home):
    rows = Plain(home).visible_rows()
    before = home / "copy.sqlite3"
    with Plain(home).database() as database, closing(sqlite3.connect(before)) as copy:
        database.backup(copy)
    forks.finish("compact:compact", home, feeds=None)
    forks.finish("compact:sweep", home)

    for suffix in ("", "-wal", "-shm"):
        Path(f"{home / 'db.sqlite3'}{suffix}").unlink(missing_ok=True)
    shutil.move(before, home / "db.sqlite3")
    (told,) = forks.finish("work:clear_up", home)

    assert (told["problems"], told["adopted"]) == ([], len(rows))
    assert Plain(home).visible_rows() == rows
