"""A disk or a database that refuses: a clear error, nothing acknowledged; the next attempt works.

Each step of an operation fails in turn, with no space or with an input/output error, until the
operation comes to its end without reaching the step. What the database refuses by itself (a
trigger, a COMMIT that breaks a constraint, a lock) is tried as well.
"""

import itertools
import random
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from . import desks
from .bodies import rows_of
from .pages import Pages
from .plain import Plain
from .victims import Forks

ERRORS = ("ENOSPC", "EIO")
OURS = {"ArchiveError", "ReshapeError", "WarehouseError", "RunFailed", "DatabaseError", "OSError"}
"""What an operator may meet: errors of ours, and those of Python and Django that name the cause."""


@pytest.fixture
def pages():
    with Pages() as pages:
        yield pages


class Judge:
    """Looks at a home after each attempt."""

    def __init__(self, forks: Forks, home) -> None:
        self.forks = forks
        self.home = home
        self.plain = Plain(home)
        self.acknowledged: set[str] = set()
        self.reached: list[str] = []

    def attempt(self, operation: str, aim: dict[str, Any], **arguments: Any) -> bool:
        """Fail an operation at a step, and do it again; return whether the step was reached."""
        told = self.forks.finish(
            "faults:attempt", self.home, aim=aim, operation=operation, **arguments
        )
        first, second = told
        if first["reached"]:
            self.reached.append(first["reached"].split()[0])
            # Some steps may fail in peace: a file that could not be removed goes the next time.
            assert not first["failed"] or OURS & set(first["failed"]), (aim, first)
            assert not first["failed"] or first["message"], (aim, first)
        else:
            assert first["failed"] == [], first
        self.acknowledged.update(second["acknowledged"])
        self.look(aim, first)
        return bool(first["reached"])

    def look(self, *context: object) -> None:
        with self.plain.database() as database:
            view = self.plain.view(database)
        assert (view.torn, view.missing, view.twice) == ([], [], 0), context
        assert self.acknowledged <= view.rows.keys(), context
        assert self.plain.torn_files() == [], context

    def end(self) -> None:
        (told,) = self.forks.finish("work:clear_up", self.home)
        assert told["problems"] == []
        assert self.plain.left_over() == []
        self.plain.forget()
        self.look("after gc")


@pytest.fixture
def judge(forks, home):
    return Judge(forks, home)


def test_a_seal_that_fails_at_any_step_says_so_and_the_next_succeeds(judge):
    for number in itertools.count(1):
        reached = [
            judge.attempt("seal", {"number": number, "error": error, "when": when})
            for error, when in (("ENOSPC", "within"), ("EIO", "before"), ("EIO", "after"))
        ]
        if not any(reached):
            break

    judge.end()
    assert {"open", "write", "fsync", "rename", "statement", "commit"} <= set(judge.reached)


def test_a_compaction_that_fails_at_any_step_loses_nothing_and_the_next_succeeds(judge):
    for number, error in zip(itertools.count(1), itertools.cycle(ERRORS), strict=False):
        for told in judge.forks.finish(
            "desks:write", judge.home, round_=number, segments=1, seed=number
        ):
            judge.acknowledged.update(told["acknowledged"])
        if not judge.attempt("compact", {"number": number, "error": error}):
            break

    judge.end()
    assert {"open", "write", "fsync", "rename", "statement", "commit"} <= set(judge.reached)
    assert judge.plain.visible_rows().keys() == judge.acknowledged


@pytest.mark.parametrize("kind", ["rename", "fsync", "statement", "commit"])
def test_a_replay_that_fails_leaves_the_old_rows_and_the_next_brings_the_new(judge, kind):
    dice = random.Random()
    for round_ in (1, 2):
        judge.forks.finish("desks:write", judge.home, round_=round_, segments=2, seed=round_)
        aim = {"kind": kind, "number": dice.randint(1, 3), "error": dice.choice(ERRORS)}
        judge.attempt("replay", aim)
        expected = rows_of(dict.fromkeys(range(desks.DESKS), round_))
        found = judge.plain.query("SELECT code, title FROM sample_book ORDER BY code")
        assert found == expected["sample_book"], aim

    judge.end()
    assert set(judge.reached) <= {kind}


@pytest.mark.parametrize(
    "kind", ["mkdir", "open", "write", "fsync", "rename", "statement", "commit"]
)
def test_a_run_that_fails_is_recorded_and_the_next_goes_on(judge, pages, kind):
    aim = {"kind": kind, "number": random.Random().randint(1, 9), "error": ERRORS[len(kind) % 2]}

    judge.attempt("extract", aim, origin=pages.url)

    outcomes = judge.plain.query("SELECT outcome, error FROM ingest_run ORDER BY started_at")
    assert outcomes[-1] == ("complete", "")
    assert all(outcome in ("failed", "complete") for outcome, _ in outcomes)
    judge.end()


REFUSALS = {
    # A statement that raises, and a constraint that is looked at only when COMMIT is said.
    "trigger": """
        CREATE TRIGGER refusing BEFORE INSERT ON {table}
        BEGIN SELECT RAISE(FAIL, 'refused by a trigger'); END""",
    "commit": """
        CREATE TABLE owed (id INTEGER REFERENCES django_content_type DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER refusing AFTER INSERT ON {table} BEGIN INSERT INTO owed VALUES (-1); END""",
}


@pytest.mark.parametrize("operation", ["seal", "compact", "extract"])
@pytest.mark.parametrize("how", [*REFUSALS, "locked"])
def test_a_database_that_refuses_is_named_and_nothing_is_acknowledged(judge, pages, operation, how):
    arguments = {"origin": pages.url} if operation == "extract" else {}
    if operation == "compact":
        for told in judge.forks.finish("desks:write", judge.home, round_=1, segments=3):
            judge.acknowledged.update(told["acknowledged"])
    before = judge.plain.query("SELECT name FROM raw_store_segment")
    with closing(sqlite3.connect(judge.home / "db.sqlite3", isolation_level=None)) as database:
        if how in REFUSALS:
            database.executescript(REFUSALS[how].format(table="raw_store_segment"))
        elif how == "locked":
            database.execute("BEGIN IMMEDIATE")

        (told,) = judge.forks.finish("faults:refuse", judge.home, operation=operation, **arguments)

        after = judge.plain.query("SELECT name FROM raw_store_segment")
        if how in REFUSALS:
            database.executescript("DROP TRIGGER refusing; DROP TABLE IF EXISTS owed")

    assert after == before
    assert OURS & set(told["failed"]), told
    named = {"trigger": "refused by a trigger", "commit": "FOREIGN KEY", "locked": "locked"}
    assert named[how] in told["message"], told
    assert judge.attempt(operation, {"number": 10**6}, **arguments) is False
    judge.end()
