"""Exactness: whatever happens, and wherever it stops, the rows are what the archive says.

Random histories of three feeds into shared models, with everything at once: random cuts, arrival
out of order, two writers at a time, compactions, erasures, changes of the code (one of them gives
keys that hang on `fetched_at`), and ends between any two steps: from the step aimed at on, no file
is renamed or removed and nothing is committed, as if the process were gone. After each replay that
was let end, and after all, an incremental replay, a full one, and one from the archive alone agree.

`EXACT_HISTORIES=300 pytest tests/reshape/test_every_step.py` tries more than the few of CI.
"""

import os
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.backends.sqlite3.base import DatabaseWrapper
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.walk import refresh
from raw_store.archive import Archive
from raw_store.compaction import compact
from raw_store.erasing import erase, resume
from raw_store.payload import request_key
from raw_store.selection import Asked
from reshape import registry
from tests.reshape.oracle import CURRENT, expected_rows
from tests.reshape.test_replay_properties import (
    as_expected,
    fresh_home,
    histories,
    linked_rows,
    lose_all_but_the_archive,
    slow,
    tables,
)
from tests.reshape.test_replay_properties import (
    pytestmark as pytestmark,
)
from tests.sample.models import Author
from tests.sample.transform import transform_pages

EXAMPLES = int(os.environ.get("EXACT_HISTORIES", "2"))
URLS = [f"http://library.example/{number}" for number in (1, 2)]


WRAPPER: Any = DatabaseWrapper


class Ended(BaseException):
    """The process is gone."""


@contextmanager
def ending_at(number):
    """From the `number`th step on, nothing on disk changes any more. 0: never."""
    real = {name: getattr(os, name) for name in ("rename", "replace", "unlink", "remove")}
    commit = WRAPPER._commit
    taken = 0

    def step():
        nonlocal taken
        taken += 1
        if number and taken >= number:
            raise Ended

    def watched(act):
        def watching(*arguments: Any, **options: Any) -> Any:
            step()
            return act(*arguments, **options)

        return watching

    try:
        for name, act in real.items():
            setattr(os, name, watched(act))
        WRAPPER._commit = watched(commit)
        yield
    except Ended:
        pass
    finally:
        for name, act in real.items():
            setattr(os, name, act)
        WRAPPER._commit = commit
        # What a process that is gone leaves to the database.
        if connection.connection.in_transaction:
            connection.connection.rollback()
        connection.set_autocommit(True)


def named_anew(payload):
    for row in transform_pages(payload):
        if row.model is Author:
            yield Author.row(**row.values | {"name": row.values["name"].upper()})
        else:
            yield row


def keyed_by_time(payload):
    for row in transform_pages(payload):
        yield row
        if row.model is Author:
            yield Author.row(code=f"{payload.fetched_at:%M}", name=row.values["name"])


CODES = {"as it is": transform_pages, "named anew": named_anew, "keyed by time": keyed_by_time}


class History:
    """A home to which things happen, as `data` draws them."""

    def __init__(self, data, archive, payloads, complete_runs):
        self.draw = data.draw
        self.archive = archive
        self.left = list(payloads)
        self.complete_runs = sorted(map(str, complete_runs))
        self.is_intact = True
        """Whether all that was handed over lies in the archive."""
        self.code = "as it is"

    def happen(self):
        action = self.draw(
            st.sampled_from(["arrive", "arrive", "arrive", "compact", "erase", "change"])
        )
        # Most often the end comes while a replay is under way.
        number = self.draw(st.sampled_from([0, 0, 0, 1, 2, 3, 4]))
        with ending_at(number):
            getattr(self, action)()
        with ending_at(self.draw(st.sampled_from([0, 0, *range(1, 40)]))):
            self.replay()

    def arrive(self):
        """Some payloads, two writers of each feed at once."""
        some = [self.left.pop() for _ in range(min(len(self.left), self.draw(st.integers(1, 4))))]
        try:
            for feed in CURRENT:
                writers = [self.archive.sync_writer(feed) for _ in range(2)]
                for place, payload in enumerate(p for p in some if p.feed == feed):
                    writers[place % 2].append(payload)
                for writer in writers:
                    writer.seal(complete_runs=() if self.left else self.complete_runs)
        except Ended:
            self.is_intact = False
            raise

    def compact(self):
        compact(self.archive.url, grace=self.draw(st.sampled_from([timedelta(0), timedelta(1)])))

    def erase(self):
        self.is_intact = False
        url = self.draw(st.sampled_from(URLS))
        erase(self.archive.url, Asked(by="key", text=request_key("GET", url)))

    def change(self):
        self.code = self.draw(st.sampled_from(sorted(CODES)))
        name = "sample.transform_pages"
        registry._transforms[name] = replace(
            registry._transforms[name], function=CODES[self.code], code_digest=self.code
        )

    def replay(self):
        refresh("sample", archive=Archive())

    def finish(self):
        """Everything has arrived, and nothing is half done."""
        while self.left:
            self.arrive()
        resume(self.archive.url)
        self.replay()


@settings(slow, max_examples=EXAMPLES)
@given(histories(), st.data())
def test_incremental_full_and_from_the_archive_alone_agree_after_every_end(history, data):
    payloads, complete_runs = history
    known = dict(registry._transforms)

    try:
        with fresh_home() as archive:
            past = History(data, archive, data.draw(st.permutations(payloads)), complete_runs)
            for _ in range(data.draw(st.integers(2, 4), "actions")):
                past.happen()
            past.finish()
            incremental = tables()
            refresh("sample", archive=Archive(), trust_copies=False)
            full = tables()
            rows = linked_rows(Archive())
            lose_all_but_the_archive()
            Archive().reindex()
            refresh("sample", archive=Archive())
            from_the_archive = tables()
    finally:
        registry._transforms.clear()
        registry._transforms.update(known)

    assert incremental == full == from_the_archive
    if past.is_intact and past.code == "as it is":
        assert as_expected(rows) == expected_rows(payloads, complete_runs)
