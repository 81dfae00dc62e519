"""Retention: old bodies go, what was seen and when stays, and rows do not depend on leftovers."""

import dataclasses
import shutil
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import walk
from etl.walk import refresh
from ingest.errors import ExtractorInvalid
from ingest.registry import extractor
from raw_store import feeds
from raw_store.archive import Archive
from raw_store.compaction import sweep_replaced
from raw_store.erasing import erase
from raw_store.feeds import Feed
from raw_store.models import LatestVersion, ReplacedSegment, Segment
from raw_store.payload import request_key
from raw_store.retention import apply_retention
from raw_store.selection import Asked
from tests.making import at, make_payload
from tests.sample.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)
FEED = "quakes.none"


def kept(name, hours, current="latest"):
    return Feed(name=name, current=current, keep_bodies=timedelta(hours=hours))


def retain(archive, feed, minute, **options):
    (done,) = apply_retention(archive.url, [feed], at(minute), **options)
    return done


def bodies(archive, feed):
    rows = sorted(archive.scan(feed), key=lambda row: row.fetched_at)
    return [
        (
            row.body is not None,
            None if row.payload_id is None else row.payload_id == row.fetch_id,
            row.body_digest is not None,
            row.body_size,
        )
        for row in rows
    ]


@pytest.fixture
def archive(home):
    return Archive()


def test_a_body_goes_with_its_revisits_and_the_rows_keep_what_was_seen(archive):
    history = [b"first", b"first", b"second", b"third"]
    archive.append_all(
        "quakes.day", [make_payload("quakes.day", body, minute=n) for n, body in enumerate(history)]
    )
    before = metadata(archive)

    done = retain(archive, kept("quakes.day", 1), minute=63.5)

    assert (done.body_count, done.row_count, done.body_bytes) == (2, 3, 11)
    gone = (False, None, True)
    assert bodies(archive, "quakes.day") == [
        (*gone, 5),
        (*gone, 5),
        (*gone, 6),
        (True, True, True, 5),
    ]
    assert metadata(archive) == before
    assert [problem for report in archive.verify() for problem in report.problems] == []


def test_a_body_that_was_seen_again_lately_stays(archive):
    history = [b"always", b"once", b"always", b"now"]
    archive.append_all(
        "quakes.day",
        [make_payload("quakes.day", body, minute=40 * n) for n, body in enumerate(history)],
    )

    retain(archive, kept("quakes.day", 1), minute=125)

    found = [archive.read(row.fetch_id).body for row in archive.scan()]
    assert found == [b"always", None, b"always", b"now"]


def test_the_newest_version_stays_however_old_it_is(archive):
    archive.append_all("quakes.day", [make_payload("quakes.day", b"only")])

    done = retain(archive, kept("quakes.day", 1), minute=1_000_000)

    assert done.body_count == 0
    assert bodies(archive, "quakes.day") == [(True, True, True, 4)]


def test_where_runs_count_the_newest_complete_one_keeps_its_bodies(archive):
    whole = make_payload("quakes.day", b"whole", minute=0, run=1)
    part = make_payload("quakes.day", b"part", minute=1, run=2)
    archive.append_all("quakes.day", [whole], complete_runs=True)
    archive.append_all("quakes.day", [part])

    retain(archive, kept("quakes.day", 1, current="run"), minute=1000)

    assert [row[0] for row in bodies(archive, "quakes.day")] == [True, True]


def test_a_body_and_its_revisits_go_together_though_segments_divide_them(archive):
    for minute in range(4):
        archive.append_all("quakes.day", [make_payload("quakes.day", b"same", minute=minute)])
    archive.append_all("quakes.day", [make_payload("quakes.day", b"new", minute=5)])
    others = set(archive.segments()[-1:])

    done = retain(archive, kept("quakes.day", 1), minute=100)

    assert (done.segment_count, done.row_count, done.body_count) == (4, 4, 1)
    assert others < set(archive.segments())
    assert [row[1] for row in bodies(archive, "quakes.day")] == [None] * 4 + [True]


def test_a_dry_run_changes_nothing(archive):
    archive.append_all(
        "quakes.day", [make_payload("quakes.day", str(n).encode(), minute=n) for n in range(3)]
    )
    before = list(Segment.objects.values())

    done = retain(archive, kept("quakes.day", 1), minute=100, dry_run=True)

    assert done.body_count == 2
    assert list(Segment.objects.values()) == before


def test_in_the_background_segments_are_written_anew_for_what_is_well_overdue(archive):
    archive.append_all(
        "quakes.day", [make_payload("quakes.day", str(n).encode(), minute=n) for n in range(3)]
    )
    feed = kept("quakes.day", 1)

    early = retain(archive, feed, minute=63, due_only=True)
    late = retain(archive, feed, minute=63 + 24 * 60, due_only=True)

    assert (early.body_count, late.body_count) == (0, 2)


def test_retention_twice_changes_nothing_more(archive):
    archive.append_all(
        "quakes.day", [make_payload("quakes.day", str(n).encode(), minute=n) for n in range(3)]
    )
    retain(archive, kept("quakes.day", 1), minute=100)
    names = {segment.name for segment in archive.segments()}

    done = retain(archive, kept("quakes.day", 1), minute=100)

    assert (done.row_count, {segment.name for segment in archive.segments()}) == (0, names)


@pytest.mark.parametrize("name", ["sample.pages", "sample.loans"])
def test_after_retention_rows_are_the_same_whether_parsed_before_or_after(archive, home, name):
    library = [
        {"authors": [{"code": f"a{n % 3}", "name": f"Ann {n}"}], "books": []} for n in range(6)
    ]
    archive.append_all(name, [make_payload(name, body, minute=n) for n, body in enumerate(library)])
    refresh("sample", archive=archive)
    feed = dataclasses.replace(feeds.get(name), keep_bodies=HOUR)

    retain(archive, feed, minute=63.5)
    refresh("sample", archive=archive)
    incremental = rows()
    from_scratch(home)
    refresh("sample", archive=Archive(), trust_copies=False)

    assert rows() == incremental
    assert len(incremental[0]) == {"sample.pages": 1, "sample.loans": 2}[name]


def test_what_the_rows_of_today_are_made_of_stays(archive):
    readable = {"authors": [{"code": "ann", "name": "Ann"}], "books": []}
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", readable, minute=0),
            make_payload("sample.pages", {"authors": [{"kode": "ann"}]}, minute=1),
        ],
    )
    refresh("sample", archive=archive)
    feed = dataclasses.replace(feeds.get("sample.pages"), keep_bodies=HOUR)

    retain(archive, feed, minute=1000)
    refresh("sample", archive=archive)

    assert [row[0] for row in bodies(archive, "sample.pages")] == [True, True]
    assert Author.objects.count() == 1


def test_record_files_say_nothing_of_removed_bodies(archive, home):
    name = "sample.loans"
    library = [{"authors": [{"code": "a", "name": f"Ann {n}"}]} for n in range(3)]
    archive.append_all(name, [make_payload(name, body, minute=n) for n, body in enumerate(library)])
    refresh("sample", archive=archive)
    feed = dataclasses.replace(feeds.get(name), keep_bodies=HOUR)

    retain(archive, feed, minute=100)
    sweep_replaced(archive.url, timedelta(0))

    said = [pq.read_table(path).to_pylist() for path in home.glob("records/sample_author/*/*")]
    assert [row["name"] for rows_ in said for row in rows_] == ["Ann 2"]


def test_the_server_removes_bodies_once_a_day(archive, monkeypatch):
    name = "sample.loans"
    archive.append_all(
        name, [make_payload(name, {"authors": []}, minute=0), make_payload(name, {}, minute=1)]
    )
    monkeypatch.setitem(feeds._feeds, name, kept(name, 1))
    monkeypatch.setattr(walk, "_retained_at", {})

    walk.tidy("sample", archive=archive)
    first = bodies(archive, name)
    archive.append_all(name, [make_payload(name, {"books": []}, minute=2)])
    walk.tidy("sample", archive=archive)

    assert [row[0] for row in first] == [False, True]
    assert [row[0] for row in bodies(archive, name)] == [False, True, True]


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_was_fetched_retention_and_erasure_leave_a_whole_archive(archive, data):
    for model in (Segment, LatestVersion, ReplacedSegment):
        model.objects.all().delete()
    shutil.rmtree(archive.url, ignore_errors=True)
    archive = Archive()
    for step in range(data.draw(st.integers(1, 4))):
        drawn = data.draw(st.lists(_FETCH, min_size=1, max_size=5))
        archive.append_all(
            FEED,
            [
                make_payload(
                    FEED,
                    None if status == 304 else body,
                    minute=minute,
                    sequence=100 * step + number,
                    url=f"http://a.example/{url}",
                    status=status,
                )
                for number, (minute, url, body, status) in enumerate(drawn)
            ],
        )
        what = data.draw(st.sampled_from(["retain", "compact", "erase", "nothing"]))
        before = {row[0]: row for row in metadata(archive)}
        if what == "retain":
            retain(archive, kept(FEED, 1), minute=data.draw(st.integers(60, 90)))
        elif what == "compact":
            archive.compact([FEED])
        elif what == "erase":
            key = request_key("GET", f"http://a.example/{data.draw(st.integers(0, 2))}")
            _without(archive, before, key)
        after = {row[0]: row for row in metadata(archive)}

        assert after == before
        assert [problem for report in archive.verify() for problem in report.problems] == []
        for latest in LatestVersion.objects.all():
            assert archive.read(latest.payload_id).body is not None


_FETCH = st.tuples(
    st.integers(0, 30),
    st.integers(0, 2),
    st.sampled_from([b"a", b"b", b"c"]),
    st.sampled_from([200, 200, 304, 404, 500]),
)


def _without(archive, before, key):
    gone = {str(row.fetch_id) for row in archive.scan() if row.request_key == key}
    erased = erase(archive.url, Asked(by="key", text=key))
    assert (erased.fetch_count if erased else 0) == len(gone)
    for fetch_id in [each for each in before if str(each) in gone]:
        del before[fetch_id]


def test_a_feed_says_how_long_it_keeps_bodies(archive):
    @extractor("quakes.kept", keep_bodies="2w")
    async def extract(client): ...

    assert feeds.get("quakes.kept").keep_bodies == timedelta(days=14)
    feeds._feeds.pop("quakes.kept")


@pytest.mark.parametrize("text", ["", "90", "0d", "1.5d", "90 d", "-1d", "1y"])
def test_a_time_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(ExtractorInvalid, match="for example 36h, 90d or 52w"):
        extractor("quakes.refused", keep_bodies=text)


def metadata(archive):
    return sorted(
        (row.fetch_id, row.body_digest, row.body_size, row.headers, row.fetched_at, row.status)
        for row in archive.scan()
    )


def rows():
    return list(Author.objects.order_by("code").values()), list(Book.objects.values())


def from_scratch(home):

    shutil.rmtree(home / "records")
    shutil.rmtree(home / "warehouse")
    Archive().reindex()
