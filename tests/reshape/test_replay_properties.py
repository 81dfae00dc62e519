"""State is a function of the archive: the invariants of a replay over random histories."""

import shutil
import tempfile
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db.models import Model
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.walk import refresh
from raw_store.archive import Archive
from reshape.models import HeldRow, QuarantineEntry, derived_models
from reshape.replay import derive
from tests.making import make_payload, run_id
from tests.reshape.oracle import CURRENT, expected_rows
from tests.sample.models import Author, Book, Loan

pytestmark = pytest.mark.django_db(transaction=True)

AUTHORS: st.SearchStrategy[Any] = st.lists(
    st.builds(dict, code=st.sampled_from("ab"), name=st.sampled_from(["Ann", "Bo"])), max_size=2
)
BOOKS: st.SearchStrategy[Any] = st.lists(
    st.builds(
        dict, code=st.sampled_from("xy"), title=st.just("T"), author_id=st.sampled_from("abc")
    ),
    max_size=2,
)
LOANS: st.SearchStrategy[Any] = st.lists(
    st.builds(
        dict,
        book_id=st.sampled_from("xy"),
        day=st.sampled_from(["2026-01-01", "2026-01-02"]),
        loan_count=st.integers(0, 3),
    ),
    max_size=2,
)
BODIES: st.SearchStrategy[Any] = st.one_of(
    st.builds(dict, authors=AUTHORS, books=BOOKS, loans=LOANS),
    st.builds(dict, authors=AUTHORS, books=BOOKS, loans=LOANS),
    st.sampled_from([b"", b"{"]),
)


@st.composite
def histories(draw, bodies=BODIES):
    """Payloads of three feeds at different moments, and the runs that are complete."""
    payloads = []
    for minute in range(draw(st.integers(1, 9))):
        feed = draw(st.sampled_from(sorted(CURRENT)))
        payloads.append(
            make_payload(
                feed,
                draw(bodies),
                minute=minute,
                url=f"http://library.example/{draw(st.integers(1, 2))}",
                status=draw(st.sampled_from([200, 200, 200, None, 404, 500])),
                run=draw(st.integers(0, 2)) + 10 * sorted(CURRENT).index(feed),
                truncated=draw(st.sampled_from([None, None, None, "length"])),
            )
        )
    complete = draw(st.sets(st.sampled_from([0, 1, 2])))
    return payloads, {run_id(run + 10 * at) for run in complete for at in range(3)}


@contextmanager
def fresh_home():
    """An empty home folder and an empty database, both gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="rootcellar-property-"))
    places = {
        "ROOTCELLAR_HOME": home,
        "ARCHIVE_URL": str(home / "archive"),
        "RECORDS_DIR": home / "records",
        "WAREHOUSE_DIR": home / "warehouse",
    }
    try:
        with override_settings(**places):
            yield Archive()
    finally:
        call_command("flush", interactive=False, verbosity=0)
        shutil.rmtree(home)


def archive_parts(archive, parts, complete_runs, between, feeds=tuple(CURRENT)):
    """Archive the payloads part by part, each feed's in a segment; call `between` after each."""
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        for feed in feeds:
            writer = archive.sync_writer(feed)
            for payload in part:
                if payload.feed == feed:
                    writer.append(payload)
            # A run is known to be complete only once all of it is archived.
            writer.seal(complete_runs=sorted(map(str, complete_runs)) if is_last else ())
        between()


def linked_rows(archive):
    copies = derive("sample", archive).linked.copies
    return {model: pq.read_table(copies[model]).to_pylist() for model in copies}


def as_expected(rows):
    """Linked rows in the oracle's shape."""
    shaped = {
        "authors": {r["code"]: _only(r, "code", "name") for r in rows[Author]},
        "books": {r["code"]: _only(r, "code", "title", "author_id") for r in rows[Book]},
        "loans": {
            (r["book_id"], str(r["day"])): {
                **_only(r, "book_id", "loan_count"),
                "day": str(r["day"]),
            }
            for r in rows[Loan]
        },
    }
    return {model: found for model, found in shaped.items() if found}


def _only(row, *names):
    return {**{name: row[name] for name in names}, "fetch_id": UUID(row["fetch_id"])}


def cut(draw_from, payloads):
    order = draw_from.draw(st.permutations(payloads))
    sizes = draw_from.draw(st.lists(st.integers(1, 4), max_size=3))
    parts = []
    for size in sizes:
        parts.append(order[:size])
        order = order[size:]
    return [*parts, order]


def compact_perhaps(data, archive):
    if data.draw(st.booleans(), "compact"):
        archive.compact(grace=data.draw(st.sampled_from([timedelta(0), timedelta(hours=1)])))


def derive_or_compact(data, archive):
    """Parsed before it is compacted, after, or not at all until the end."""
    if data.draw(st.booleans(), "derive"):
        derive("sample", archive)
    compact_perhaps(data, archive)


slow = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@slow
@given(histories(), st.data())
def test_linked_rows_are_what_the_payloads_say_however_they_arrived(history, data):
    payloads, complete_runs = history
    parts = cut(data, payloads)

    with fresh_home() as archive:
        archive_parts(archive, parts, complete_runs, lambda: derive_or_compact(data, archive))
        rows = linked_rows(archive)

    assert as_expected(rows) == expected_rows(payloads, complete_runs)


def tables():
    every: list[type[Model]] = [*derived_models("sample"), QuarantineEntry, HeldRow]
    return {model: sorted(map(str, model._default_manager.values_list())) for model in every}


@settings(slow, max_examples=5)
@given(histories(), st.data())
def test_incremental_full_rebuilt_and_from_scratch_replays_end_in_equal_tables(history, data):
    payloads, complete_runs = history
    parts = cut(data, payloads)

    with fresh_home() as archive:
        archive_parts(
            archive,
            parts,
            complete_runs,
            lambda: (compact_perhaps(data, archive), refresh("sample", archive=archive)),
        )
        incremental = tables()
        refresh("sample", archive=Archive(), trust_copies=False)
        full = tables()
        lose_all_but_the_archive()
        Archive().reindex()
        refresh("sample", archive=Archive())
        rebuilt = tables()
    with fresh_home() as archive:
        archive_parts(archive, [payloads], complete_runs, lambda: None)
        refresh("sample", archive=archive)
        from_scratch = tables()

    assert incremental == full == rebuilt == from_scratch


def lose_all_but_the_archive():
    call_command("flush", interactive=False, verbosity=0)
    shutil.rmtree(django_settings.RECORDS_DIR, ignore_errors=True)
    shutil.rmtree(django_settings.WAREHOUSE_DIR)
