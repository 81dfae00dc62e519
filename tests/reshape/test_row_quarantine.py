"""Rows set aside alone, and limits on how much is set aside."""

from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.walk import refresh
from raw_store import feeds
from raw_store.archive import Archive
from raw_store.feeds import parse_quarantine_limit
from reshape import registry
from reshape.errors import LimitExceeded
from reshape.models import QuarantineEntry, SourceState
from reshape.parse import label_of
from reshape.records import REJECTED, records_dir
from reshape.registry import transform
from reshape.regrouping import RecordFiles
from reshape.replay import derive
from tests.making import at, make_payload
from tests.sample.models import Author, Book
from tests.sample.transform import transform_pages

from .oracle import expected_rejected, expected_rows
from .test_replay_properties import (
    BOOKS,
    LOANS,
    archive_parts,
    as_expected,
    cut,
    derive_or_compact,
    fresh_home,
    histories,
    slow,
)

pytestmark = pytest.mark.django_db(transaction=True)

FEED = "sample.pages"
NAME = "sample.transform_pages"


def author(code, name="Ann", **more):
    return {"code": code, "name": name, **more}


def put(archive, *authors, minute=0, feed=FEED, page=1, **more):
    url = f"http://library.example/{page}"
    archive.append_all(
        feed, [make_payload(feed, {"authors": authors}, minute=minute, url=url, **more)]
    )


def by_row(monkeypatch, *names):
    for name in names or (NAME,):
        known = registry._transforms[name]
        monkeypatch.setitem(registry._transforms, name, replace(known, bad_rows="row"))


def limited(monkeypatch, limit, feed=FEED):
    known = feeds.get(feed)
    changed = replace(known, quarantine_limit=parse_quarantine_limit(limit))
    monkeypatch.setitem(feeds._feeds, feed, changed)


@pytest.fixture
def archive(home):
    return Archive()


@pytest.fixture
def rows_alone(monkeypatch):
    by_row(monkeypatch)


BAD = [
    (author("b", 7), "name", "7", '["b"]'),
    (author("b", None), "name", "", '["b"]'),
    ({"code": "b"}, "name", "", '["b"]'),
    (author("b", nmae="n"), "nmae", "'n'", '["b"]'),
    (author("b" * 33), "code", repr("b" * 33), ""),
    ({"name": "Bo"}, "code", "", ""),
    (author(8), "code", "8", ""),
]


def test_invalid_rows_go_alone_and_their_neighbours_count(archive, rows_alone):
    put(archive, author("a"), *[bad for bad, *_ in BAD], author("c"))

    refresh("sample", archive=archive)

    assert set(Author.objects.values_list("code", flat=True)) == {"a", "c"}
    entries = list(QuarantineEntry.objects.order_by("ordinal"))
    assert [entry.ordinal for entry in entries] == list(range(1, 8))
    assert [(each.field, each.value, each.key) for each in entries] == [
        tuple(told) for _, *told in BAD
    ]
    assert {(each.model, each.error, each.url) for each in entries} == {
        ("Author", "RowInvalid", "http://library.example/1")
    }
    assert all("of transform.py)" in each.message for each in entries)


def test_without_saying_so_the_payload_goes_whole(archive):
    put(archive, author("a"), author("b", 7))

    refresh("sample", archive=archive)

    assert not Author.objects.exists()
    assert QuarantineEntry.objects.get().ordinal == -1


def test_a_payload_without_a_valid_row_goes_whole_and_its_last_readable_version_stands_in(
    archive, rows_alone
):
    put(archive, author("a"), author("b"))
    put(archive, author("a", 1), author("b", 2), minute=1)

    refresh("sample", archive=archive)

    assert set(Author.objects.values_list("code", flat=True)) == {"a", "b"}
    entry = QuarantineEntry.objects.get()
    assert entry.ordinal == -1
    assert entry.message.startswith("None of its 2 rows is valid. The first: ")


def test_an_error_inside_the_transform_takes_the_payload_even_then(archive, rows_alone):
    put(archive, author("a"), author("b", 7), "no object")

    refresh("sample", archive=archive)

    assert not Author.objects.exists()
    entry = QuarantineEntry.objects.get()
    assert (entry.ordinal, entry.error) == (-1, "TypeError")


def test_a_row_clears_itself_when_a_later_version_reads_well(archive, rows_alone):
    put(archive, author("a"), author("b", 7))
    refresh("sample", archive=archive)
    put(archive, author("a"), author("b", "Bo"), minute=1)

    refresh("sample", archive=archive)

    assert QuarantineEntry.objects.count() == 0
    assert Author.objects.get(code="b").name == "Bo"


def test_a_row_clears_itself_when_the_code_reads_it(archive, rows_alone, monkeypatch):
    put(archive, author("a"), author("b", 7))
    refresh("sample", archive=archive)

    def forgiving(payload):
        for each in payload.json()["authors"]:
            yield Author.row(code=each["code"], name=str(each["name"]))

    known = registry._transforms[NAME]
    monkeypatch.setitem(
        registry._transforms, NAME, replace(known, function=forgiving, code_digest="another")
    )
    refresh("sample", archive=archive)

    assert QuarantineEntry.objects.count() == 0
    assert Author.objects.get(code="b").name == "7"


def test_where_every_version_counts_a_row_waits_until_its_key_is_read(archive, monkeypatch):
    by_row(monkeypatch, "sample.transform_loans")
    put(archive, author("a"), author("b", 7), feed="sample.loans")
    put(archive, author("c"), feed="sample.loans", minute=1)
    refresh("sample", archive=archive)
    assert QuarantineEntry.objects.get().key == '["b"]'

    put(archive, author("b"), feed="sample.loans", minute=2)
    refresh("sample", archive=archive)

    assert QuarantineEntry.objects.count() == 0


def test_what_a_transform_says_of_bad_rows_is_in_its_fingerprint(monkeypatch):
    before = label_of(registry._transforms[NAME])

    by_row(monkeypatch)

    assert label_of(registry._transforms[NAME]) != before


def test_a_word_that_means_nothing_is_refused():
    with pytest.raises(ValueError, match='"payload" or "row"; got \'rows\''):
        transform(FEED, bad_rows="rows")(transform_pages)  # type: ignore[arg-type]


def test_an_erased_fetch_leaves_no_row_set_aside(archive, rows_alone):
    put(archive, author("a"), author("b", 7))
    put(archive, author("c"), author("d", 7), minute=1, page=2)
    refresh("sample", archive=archive)
    gone = str(make_payload(FEED, minute=0, url="http://library.example/1").fetch_id)

    RecordFiles().drop([gone])

    files = records_dir(REJECTED, label_of(registry._transforms[NAME])).glob("*.parquet")
    left = [row["fetch_id"] for path in files for row in pq.read_table(path).to_pylist()]
    assert len(left) == 1
    assert gone not in left


MIXED: st.SearchStrategy[Any] = st.lists(
    st.builds(dict, code=st.sampled_from("ab"), name=st.sampled_from(["Ann", "Bo", 7])),
    max_size=3,
)
BODIES: st.SearchStrategy[Any] = st.one_of(
    st.builds(dict, authors=MIXED, books=BOOKS, loans=LOANS),
    st.builds(dict, authors=MIXED),
    st.sampled_from([b"", b"{"]),
)


@settings(slow, max_examples=6)
@given(histories(BODIES), st.sampled_from(["row", "payload"]), st.data())
def test_rows_and_what_is_set_aside_depend_on_the_payloads_alone(history, bad_rows, data):
    payloads, complete_runs = history
    parts = cut(data, payloads)
    with pytest.MonkeyPatch.context() as patch, fresh_home() as archive:
        if bad_rows == "row":
            by_row(patch, NAME, "sample.transform_catalogue", "sample.transform_loans")
        archive_parts(archive, parts, complete_runs, lambda: derive_or_compact(data, archive))
        copies = derive("sample", archive).linked.copies
        rows = {model: pq.read_table(copies[model]).to_pylist() for model in copies}

    assert as_expected(rows) == expected_rows(payloads, complete_runs, bad_rows)
    alone = {(r["fetch_id"], r["ordinal"]) for r in rows[QuarantineEntry] if r["ordinal"] >= 0}
    expected = expected_rejected(payloads, complete_runs) if bad_rows == "row" else set()
    assert alone == {(str(fetch_id), ordinal) for fetch_id, ordinal in expected}


@pytest.mark.parametrize(
    ("limit", "is_exceeded"), [("50%", False), ("49.9%", True), (1, False), (0, True), ("0%", True)]
)
def test_a_limit_on_payloads(archive, monkeypatch, limit, is_exceeded):
    limited(monkeypatch, limit)
    put(archive, author("a"))
    put(archive, author("b", 7), page=2)

    measures = derive("sample", archive).linked.measures

    (measured,) = [each for each in measures if each.feed == FEED]
    assert (measured.quarantined_count, measured.payload_count) == (1, 2)
    assert measured.is_exceeded == is_exceeded


@pytest.mark.parametrize(("limit", "is_exceeded"), [("25%", False), ("24%", True), (0, True)])
def test_a_limit_on_rows(archive, rows_alone, monkeypatch, limit, is_exceeded):
    limited(monkeypatch, limit)
    put(archive, author("a"), author("b", 7), author("c"), author("d"))

    (measured,) = [each for each in derive("sample", archive).linked.measures if each.feed == FEED]

    assert (measured.rejected_count, measured.row_count) == (1, 4)
    assert measured.is_exceeded == is_exceeded


def test_a_long_readable_history_does_not_hide_that_the_newest_version_is_unreadable(
    archive, monkeypatch
):
    limited(monkeypatch, "5%", feed="sample.loans")
    for minute in range(30):
        put(archive, author(f"a{minute}"), feed="sample.loans", minute=minute)
    assert not any(each.is_exceeded for each in derive("sample", archive).linked.measures)

    put(archive, author("b", 7), feed="sample.loans", minute=31)

    assert any(each.is_exceeded for each in derive("sample", archive).linked.measures)


def test_beyond_the_limit_the_rows_stay_and_the_quarantine_says_why(archive, monkeypatch, home):
    put(archive, author("a", "old"))
    refresh("sample", archive=archive)
    version = SourceState.objects.get().data_version
    copies = set((home / "warehouse").rglob("*.parquet"))
    limited(monkeypatch, "10%")
    put(archive, author("a", "new"), minute=1)
    put(archive, author("b", 7), page=2, minute=1)

    with pytest.raises(LimitExceeded, match=r"could not read 1 of 2 payloads .* limit is 10%"):
        refresh("sample", archive=archive)

    assert Author.objects.get().name == "old"
    assert QuarantineEntry.objects.get().field == "name"
    state = SourceState.objects.get()
    assert state.limit_exceeded.startswith("sample is not loaded: ")
    assert state.data_version == version + 1
    assert set((home / "warehouse").rglob("*.parquet")) == copies

    with pytest.raises(LimitExceeded):
        refresh("sample", archive=archive)
    assert SourceState.objects.get().data_version == version + 1

    refresh("sample", archive=archive, despite_quarantine=True)
    assert Author.objects.get().name == "new"
    assert SourceState.objects.get().limit_exceeded == ""


def test_the_replay_after_one_despite_the_limit_minds_it_though_nothing_is_new(
    archive, monkeypatch
):
    limited(monkeypatch, 0)
    put(archive, author("a", 7))
    refresh("sample", archive=archive, despite_quarantine=True)

    with pytest.raises(LimitExceeded):
        refresh("sample", archive=archive)


def test_what_is_read_later_lifts_the_stop(archive, monkeypatch):
    limited(monkeypatch, 0)
    put(archive, author("b", 7))
    with pytest.raises(LimitExceeded):
        refresh("sample", archive=archive)

    put(archive, author("b"), minute=1)
    refresh("sample", archive=archive)

    assert Author.objects.get().code == "b"


@pytest.mark.parametrize(
    "limit", ["5", "101%", "-1%", -1, True, "five", "5 percent", 0.5, "\u0665%"]
)
def test_a_limit_that_means_nothing_is_refused(limit):
    with pytest.raises(ValueError, match='a share such as "5%"'):
        parse_quarantine_limit(limit)


def test_rows_set_aside_as_of_a_moment(archive, rows_alone):
    put(archive, author("a"), author("b", 7))
    put(archive, author("a"), minute=10)

    then = derive("sample", archive, as_of=at(5)).linked
    now = derive("sample", archive).linked

    assert (then.rejected_count, then.quarantined_count) == (1, 1)
    assert (now.rejected_count, now.quarantined_count) == (0, 0)


def test_many_rows_of_one_payload_keep_their_places(archive, rows_alone):
    books = [
        {"code": f"x{n}", "title": "T", "author_id": "a", "price": "1" if n % 3 else "cheap"}
        for n in range(20)
    ]
    body = {"authors": [author("a")], "books": books}
    archive.append_all(FEED, [make_payload(FEED, body)])

    refresh("sample", archive=archive)

    places = list(QuarantineEntry.objects.order_by("ordinal").values_list("ordinal", "key"))
    assert places == [(n + 1, f'["x{n}"]') for n in range(0, 20, 3)]
    assert Book.objects.count() == 13


def test_a_compaction_takes_the_rows_set_aside_along(archive, rows_alone):
    for page in range(3):
        put(archive, author(f"a{page}"), author(f"b{page}", 7), page=page, minute=page)
    refresh("sample", archive=archive)
    before = sorted(QuarantineEntry.objects.values_list("fetch_id", "ordinal", "key"))

    archive.compact()
    done = refresh("sample", archive=Archive())

    assert done.derivation.parsed.payload_count == 0
    assert sorted(QuarantineEntry.objects.values_list("fetch_id", "ordinal", "key")) == before
    assert len(before) == 3
    (segment,) = Archive().segments(FEED)
    label = label_of(registry._transforms[NAME])
    assert (records_dir(REJECTED, label) / f"{segment.name}.parquet").exists()
