"""Rows → WARC → rows: every column of every row comes back, whatever it holds."""

import gzip
import random
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raw_store.ids import derived_id
from raw_store.interchange.warc_export import Selection, export_warc
from raw_store.models import Segment
from raw_store.payload import Payload, digest, request_key

from .conftest import FEED, NOON, URL, make_payload
from .exchanging import by_id, exported, fresh, rows_of, take

HTTP_TEXT = st.text(st.characters(max_codepoint=255), max_size=12)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HEADERS = st.lists(
    st.one_of(
        st.tuples(HTTP_TEXT, HTTP_TEXT),
        st.tuples(ANY_TEXT, ANY_TEXT),
        st.sampled_from(
            [
                ("Content-Encoding", "gzip"),
                ("Transfer-Encoding", "chunked"),
                ("content-length", "12"),
                ("X-Archive-Orig-Content-Encoding", "br"),
                ("ETag", '"a"'),
                ("Set-Cookie", "a=1"),
                ("SET-COOKIE", "b=2"),
            ]
        ),
    ),
    max_size=5,
).map(tuple)
MAYBE = st.one_of(st.none(), ANY_TEXT)


@st.composite
def fetches(draw) -> Payload:
    """Anything a row can hold; equal addresses and bodies are likely."""
    at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(microseconds=draw(st.integers(0, 10**12)))
    url = draw(st.sampled_from([URL, f"{URL}?a=1", "http://é.example/x y\n", "HTTPS://A", "odd"]))
    status = draw(st.sampled_from([None, 0, 200, 200, 200, 304, 304, 404, 500, 999]))
    body = draw(st.one_of(st.none(), st.sampled_from([b"", b"same"]), st.binary(max_size=40)))
    coding = draw(st.sampled_from([None, "gzip", "deflate", "br", "identity", "odd"]))
    encoded = draw(st.sampled_from([None, "kept", "random"]))
    kept = None
    if encoded == "random":
        kept = draw(st.binary(max_size=20))
    elif encoded == "kept" and body is not None:
        kept = gzip.compress(body) if coding == "gzip" else body
        kept = zlib.compress(body) if coding == "deflate" else kept
    method = draw(st.sampled_from(["GET", "POST", "HEAD", "odd method"]))
    request_body = draw(st.one_of(st.none(), st.binary(max_size=20)))
    return Payload(
        fetch_id=derived_id(at, str(draw(st.integers(0, 2**32)))),
        run_id=derived_id(NOON, str(draw(st.integers(0, 2)))),
        sequence=draw(st.integers(0, 2**40)),
        feed=FEED,
        attempt=draw(st.integers(1, 5)),
        method=method,
        url=url,
        request_headers=draw(HEADERS),
        request_body=request_body,
        request_key=request_key("GET", URL) if draw(st.booleans()) else digest(url.encode()),
        status=status,
        reason=draw(MAYBE),
        http_version=draw(st.sampled_from([None, "HTTP/1.0", "HTTP/1.1", "HTTP/2", "odd\r\n"])),
        headers=draw(HEADERS),
        fetched_at=at,
        elapsed_ms=draw(st.one_of(st.none(), st.integers(0, 10**9))),
        content_type=draw(MAYBE),
        content_encoding=coding,
        body=body,
        encoded_body=kept,
        encoded_digest=None if kept is None else digest(kept),
        encoded_size=None if kept is None else len(kept),
        truncated=draw(st.sampled_from([None, None, "length", "time", "odd"])),
        error=draw(st.sampled_from([None, None, "timeout: no answer\r\nwithin 30 s"])),
    )


@given(payloads=st.lists(fetches(), min_size=1, max_size=8, unique_by=lambda each: each.fetch_id))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_rows_come_back_from_a_warc_as_they_were(db, tmp_path_factory, payloads):
    archive = fresh(tmp_path_factory.mktemp("archive"))
    archive.append_all(FEED, payloads)
    before = rows_of(archive)
    files = exported(archive, tmp_path_factory.mktemp("warc"))

    done = take(second := fresh(tmp_path_factory.mktemp("second")), *files)

    assert done.problems == []
    assert rows_of(second) == before
    assert all(report.is_whole for report in second.verify())


@pytest.mark.django_db(transaction=True)
def test_ten_thousand_payloads_come_back_with_equal_digests(tmp_path):
    chance = random.Random(7)
    archive = fresh(tmp_path / "first")
    archive.append_all(FEED, [_some_payload(chance, number) for number in range(10_000)])
    before = by_id(rows_of(archive))

    files = exported(archive, tmp_path / "warc", max_size=2_000_000)
    done = take(second := fresh(tmp_path / "second"), *files)

    assert len(files) > 1
    assert (done.added, done.known, done.problems) == (10_000, 0, [])
    assert by_id(rows_of(second)) == before
    assert sum(row["payload_id"] != row["fetch_id"] for row in before.values()) > 1_000


def _some_payload(chance: random.Random, number: int) -> Payload:
    body = chance.choice([b"same", chance.randbytes(chance.randrange(800)), b"x" * 900])
    encoded = gzip.compress(body) if number % 3 == 0 else None
    payload = make_payload(
        body,
        minute=number / 60,
        sequence=number,
        run=str(number // 100),
        url=f"{URL}?page={number % 500}",
        headers=(("Content-Type", "text/plain"), ("ETag", f'"{number}"')),
        request_headers=(("Accept", "*/*"),),
        encoded_body=encoded,
    )
    if encoded is None:
        return payload
    return replace(
        payload,
        content_encoding="gzip",
        headers=(*payload.headers, ("Content-Encoding", "gzip")),
        encoded_digest=digest(encoded),
        encoded_size=len(encoded),
    )


def test_importing_an_export_again_adds_nothing(archive, tmp_path):
    archive.append_all(FEED, [make_payload(b"a"), make_payload(b"b", minute=1)])
    files = exported(archive, tmp_path / "warc")

    done = take(archive, *files)

    assert (done.added, done.known) == (0, 2)
    assert Segment.objects.count() == 1


def test_what_is_exported_twice_is_equal_byte_for_byte(archive, tmp_path):
    archive.append_all(FEED, [make_payload(b"a"), make_payload(b"a", minute=1)])

    (first,) = exported(archive, tmp_path / "one")
    (second,) = exported(archive, tmp_path / "two")

    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_a_revisit_brings_the_fetch_that_holds_its_body(archive, tmp_path):
    payloads = [make_payload(b"a"), make_payload(b"b", minute=1, url=f"{URL}?b")]
    payloads += [make_payload(b"a", minute=9), make_payload(None, status=304, minute=10)]
    archive.append_all(FEED, payloads)
    before = by_id(rows_of(archive))

    done = export_warc(
        archive,
        FEED,
        tmp_path / "warc",
        selection=Selection(since=NOON + timedelta(minutes=5)),
    )
    take(second := fresh(tmp_path / "second"), *done.files)

    assert (done.fetches, done.holders) == (3, 1)
    after = by_id(rows_of(second))
    assert set(after) == {str(payloads[at].fetch_id) for at in (0, 2, 3)}
    assert all(before[fetch_id] == row for fetch_id, row in after.items())
    assert second.read(payloads[2].fetch_id).body == b"a"


def test_a_selection_by_address_knows_a_wildcard(archive, tmp_path):
    for number in range(4):
        archive.append_all(FEED, [make_payload(b"%d" % number, url=f"{URL}?page={number}")])

    done = export_warc(archive, FEED, tmp_path, selection=Selection(url="*?page=2"))
    none = export_warc(archive, FEED, tmp_path, selection=Selection(url="https://e*/?page=2"))

    assert (done.fetches, none.fetches, none.files) == (1, 0, [])


def test_a_run_is_complete_again_when_all_of_it_has_arrived(archive, tmp_path):
    for minute in range(3):
        archive.append_all(FEED, [make_payload(b"%d" % minute, minute=minute, run="one")])
    archive.append_all(FEED, [make_payload(b"3", minute=3, run="one")], complete_runs=True)
    archive.append_all(FEED, [make_payload(b"4", minute=4, run="two")])
    files = exported(archive, tmp_path / "warc", max_size=1)

    second = fresh(tmp_path / "second")
    take(second, *files[:3])
    partly = second.captures(FEED)["run_is_complete"].to_pylist()
    take(second, *files[3:])

    assert partly == [False] * 3
    assert second.captures(FEED)["run_is_complete"].to_pylist() == [True] * 4 + [False]


def test_a_copy_in_another_feed_has_ids_of_its_own(archive, tmp_path):
    archive.append_all(FEED, [make_payload(b"a"), make_payload(b"a", minute=1)])
    files = exported(archive, tmp_path / "warc")

    for _ in range(2):
        take(archive, *files, feed="quakes.copy")

    first, second = archive.scan("quakes.copy")
    assert (first.body, second.payload_id) == (b"a", first.fetch_id)
    assert {row.fetch_id for row in archive.scan(FEED)}.isdisjoint({first.fetch_id})
    assert all(report.is_whole for report in archive.verify())


def test_a_missing_holder_is_named(archive, tmp_path):
    archive.append_all(FEED, [make_payload(b"a"), make_payload(b"a", minute=1)])
    holder, revisit = exported(archive, tmp_path / "warc", max_size=1)
    second = fresh(tmp_path / "second")

    first_done = take(second, revisit)
    second_done = take(second, holder, revisit)

    assert "holds the body of imported revisits" in first_done.problems[0]
    assert second_done.problems == []
    assert all(report.is_whole for report in second.verify())


def test_a_body_that_was_given_up_or_withheld_is_truncated_in_the_warc(archive, tmp_path):
    given_up = make_payload(None, body_digest=digest(b"a"), body_size=1, url=f"{URL}?a")
    withheld = make_payload(None, minute=1, encoded_size=9, url=f"{URL}?b")
    archive.append_all(FEED, [given_up, withheld])
    before = rows_of(archive)
    (path,) = exported(archive, tmp_path / "all.warc")

    take(second := fresh(tmp_path / "second"), path)

    assert path.read_bytes().count(b"WARC-Truncated: unspecified\r\n") == 2
    assert rows_of(second) == before
    assert [row["payload_id"] for row in before] == [None, None]
