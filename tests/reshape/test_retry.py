"""Reading once more what is in quarantine."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from etl.walk import refresh
from raw_store.archive import Archive
from reshape import registry
from reshape.models import QuarantineEntry
from reshape.parse import label_of
from reshape.records import OUTCOMES, records_dir
from reshape.retry import retry
from tests.making import make_payload
from tests.sample.models import Author

from .test_row_quarantine import FEED, NAME, author, put

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(home):
    return Archive()


READABLE = {"now": False}
"""Stands for a library that the transform calls: no part of its fingerprint."""


def _outside(payload):
    if not READABLE["now"] and payload.body != b"[]":
        raise ImportError("the library is too old")
    yield Author.row(code="z", name="Zoe")


def test_a_retry_reads_what_something_else_makes_readable(archive, monkeypatch):
    known = registry._transforms[NAME]
    outside = replace(known, function=_outside, code_digest="outside")
    monkeypatch.setitem(registry._transforms, NAME, outside)
    archive.append_all(
        FEED,
        [
            make_payload(FEED, page, minute=n, url=f"http://library.example/{n}")
            for n, page in enumerate([b"{}", b"[]", b"{ }"])
        ],
    )
    refresh("sample", archive=archive)
    waiting = [str(entry.fetch_id) for entry in QuarantineEntry.objects.order_by("fetched_at")]
    assert len(waiting) == 2

    first = retry(outside, waiting, archive)
    refresh("sample", archive=archive, anew=True)
    assert (first.payload_count, first.quarantined_count) == (2, 2)
    assert QuarantineEntry.objects.count() == 2

    monkeypatch.setitem(READABLE, "now", True)
    second = retry(outside, waiting[:1], archive)
    refresh("sample", archive=archive, anew=True)

    assert (second.payload_count, second.quarantined_count) == (1, 0)
    assert [str(entry.fetch_id) for entry in QuarantineEntry.objects.all()] == waiting[1:]
    outcomes = [
        row["fetch_id"]
        for path in records_dir(OUTCOMES, label_of(outside)).glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    ]
    assert len(outcomes) == len(set(outcomes)) == 3


def test_a_retry_cut_short_leaves_each_payload_read_or_not(archive, monkeypatch):
    known = registry._transforms[NAME]
    outside = replace(known, function=_outside, code_digest="outside")
    monkeypatch.setitem(registry._transforms, NAME, outside)
    archive.append_all(FEED, [make_payload(FEED, b"{}", minute=1)])
    refresh("sample", archive=archive)
    monkeypatch.setitem(READABLE, "now", True)

    def killed(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("reshape.retry.drop_earlier", killed)
        with pytest.raises(KeyboardInterrupt):
            retry(outside, [str(make_payload(FEED, minute=1).fetch_id)], archive)
    archive.compact()
    refresh("sample", archive=Archive())

    assert QuarantineEntry.objects.count() == 0
    assert Author.objects.get().code == "z"


def test_what_a_retry_read_counts_in_the_next_replay_though_nothing_is_new(archive, monkeypatch):
    known = registry._transforms[NAME]
    outside = replace(known, function=_outside, code_digest="outside")
    monkeypatch.setitem(registry._transforms, NAME, outside)
    archive.append_all(FEED, [make_payload(FEED, b"{}")])
    refresh("sample", archive=archive)
    monkeypatch.setitem(READABLE, "now", True)

    retry(outside, [str(make_payload(FEED).fetch_id)], archive)
    refresh("sample", archive=archive)

    assert QuarantineEntry.objects.count() == 0
    assert Author.objects.get().code == "z"


def test_a_retry_leaves_what_this_code_has_not_parsed_to_the_replay(archive):
    put(archive, author("a", 7))

    done = retry(registry._transforms[NAME], [str(make_payload(FEED).fetch_id)], archive)

    assert done.payload_count == 0
