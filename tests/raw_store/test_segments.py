"""One segment: whatever a payload holds comes back equal, from our reader and from others."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raw_store import rows, segment_writer, segments
from raw_store.errors import SegmentCorrupt
from raw_store.ids import new_id
from raw_store.payload import Payload, canonical_url, digest, request_key

from .conftest import FEED, NOON, make_payload

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
LATIN_1 = st.text(st.characters(max_codepoint=255), max_size=30)
HEADERS = st.lists(st.tuples(LATIN_1, LATIN_1), max_size=4).map(tuple)
BODY = st.none() | st.binary(max_size=200)
COUNT = st.none() | st.integers(0, 2**62)
DIGEST = st.none() | st.binary(max_size=4).map(digest)
TIMES = st.datetimes(timezones=st.just(UTC))

PAYLOADS = st.builds(
    Payload,
    fetch_id=st.uuids(),
    run_id=st.uuids(),
    sequence=st.integers(0, 2**62),
    feed=st.just(FEED),
    attempt=st.integers(1, 2**31 - 1),
    method=TEXT,
    url=TEXT,
    request_headers=HEADERS,
    request_body=BODY,
    request_key=TEXT,
    status=st.none() | st.integers(100, 599),
    reason=st.none() | LATIN_1,
    http_version=st.none() | TEXT,
    headers=HEADERS,
    fetched_at=TIMES,
    elapsed_ms=COUNT,
    content_type=st.none() | LATIN_1,
    content_encoding=st.none() | LATIN_1,
    body=BODY,
    body_digest=DIGEST,
    body_size=COUNT,
    encoded_digest=DIGEST,
    encoded_size=COUNT,
    encoded_body=BODY,
    payload_id=st.none() | st.uuids(),
    truncated=st.none() | TEXT,
    error=st.none() | TEXT,
)


@given(payloads=st.lists(PAYLOADS, max_size=20))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_payload_comes_back_equal(tmp_path, payloads):
    info = write(tmp_path, payloads)

    assert list(segments.iter_payloads(str(tmp_path), info.path)) == payloads
    assert segments.read_info(str(tmp_path), info.path) == info


def test_a_time_in_another_zone_comes_back_as_the_same_moment(tmp_path):
    at = datetime.fromisoformat("2026-03-01T00:30:00.123456+02:00")
    payload = dataclasses.replace(make_payload(), fetched_at=at)

    info = write(tmp_path, [payload])

    (row,) = segments.iter_payloads(str(tmp_path), info.path)
    assert (row.fetched_at, row.fetched_at.tzinfo) == (at, UTC)
    assert "date=2026-02-28" in info.path


def test_row_groups_are_bounded_by_rows_and_by_bytes(tmp_path):
    small = [make_payload(b"x", sequence=n) for n in range(1_100)]
    large = [make_payload(bytes(9_000_000), sequence=n) for n in range(1_100, 1_104)]

    info = write(tmp_path, small + large)

    metadata = pq.ParquetFile(tmp_path / info.path).metadata
    groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert groups == [1_024, 77, 1, 1, 1]


def test_readable_payloads_are_successes_with_a_body_of_their_own(tmp_path):
    own = [
        make_payload(b"ok", body_digest=digest(b"ok")),
        make_payload(b"", minute=1, body_digest=digest(b"")),
        make_payload(b"unrecorded", minute=2, status=None, body_digest=digest(b"unrecorded")),
    ]
    others = [
        make_payload(b"failed", minute=3, status=500, body_digest=digest(b"failed")),
        make_payload(b"cut", minute=4, truncated="length", body_digest=digest(b"cut")),
        make_payload(None, minute=5, status=None, error="timeout: 30 s"),
        make_payload(None, minute=6, body_digest=digest(b"ok"), payload_id=own[0].fetch_id),
        make_payload(b"gone", minute=7, status=404, body_digest=digest(b"gone")),
    ]
    holding = [
        dataclasses.replace(row, payload_id=row.fetch_id) if row.body is not None else row
        for row in [*own, *others]
    ]

    info = write(tmp_path, holding)

    found = segments.iter_readable(str(tmp_path), info.path)
    assert [row.body for row in found] == [b"ok", b"", b"unrecorded"]


def test_duckdb_and_pyarrow_read_the_tree_with_its_folders_as_columns(tmp_path):
    write(tmp_path, [make_payload(b"a")])
    write(tmp_path, [make_payload(b"b", feed="fx.daily", headers=(("A", "é"),))], "fx.daily")
    query = f"""
        SELECT source, feed, date::VARCHAR, body, headers[1].value
        FROM read_parquet('{tmp_path}/**/*.parquet', hive_partitioning=true) ORDER BY feed
    """

    with duckdb.connect() as connection:
        from_duckdb = connection.execute(query).fetchall()
    dataset = pa.dataset.dataset(tmp_path, partitioning="hive")
    from_pyarrow = dataset.to_table(filter=pa.dataset.field("feed") == "fx.daily")

    assert from_duckdb == [
        ("fx", "fx.daily", "2026-03-01", b"b", "é"),
        ("quakes", FEED, "2026-03-01", b"a", None),
    ]
    assert from_pyarrow.select(["source", "feed", "date", "body"]).to_pylist() == [
        {"source": "fx", "feed": "fx.daily", "date": "2026-03-01", "body": b"b"}
    ]


def test_each_damaged_byte_is_noticed_or_harmless(tmp_path):
    payloads = [make_payload(b"body %d" % n, sequence=n, minute=n) for n in range(3)]
    info = write(tmp_path, payloads, name="same-every-time")
    path = tmp_path / info.path
    whole = path.read_bytes()

    silent = 0
    for at in range(0, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            silent += list(segments.iter_payloads(str(tmp_path), info.path)) != payloads
        except SegmentCorrupt:
            continue

    assert silent == 0


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_a_cut_segment_is_corrupt_and_named(tmp_path, kept):
    info = write(tmp_path, [make_payload(b"a")])
    path = tmp_path / info.path
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(SegmentCorrupt, match=info.name):
        list(segments.iter_payloads(str(tmp_path), info.path))
    with pytest.raises(SegmentCorrupt, match=info.name):
        segments.read_info(str(tmp_path), info.path)


def test_a_missing_segment_is_called_missing(tmp_path):
    with pytest.raises(SegmentCorrupt, match="is missing"):
        segments.read_segment(str(tmp_path), "source=a/x.parquet")


def test_a_parquet_file_of_somebody_else_is_no_segment(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")

    with pytest.raises(SegmentCorrupt, match="footer is not an archive segment's"):
        segments.read_info(str(tmp_path), "a.parquet")


def test_rows_are_found_by_id_without_reading_the_whole(tmp_path):
    payloads = [make_payload(b"%d" % n, minute=n) for n in range(600)]
    info = write(tmp_path, payloads)

    found = segments.read_rows(
        str(tmp_path), info.path, [str(payloads[n].fetch_id) for n in (1, 400)], bodies=False
    )

    assert [row.fetch_id for row in found] == [payloads[1].fetch_id, payloads[400].fetch_id]
    assert [row.body for row in found] == [None, None]


def test_payloads_of_one_request_share_a_key():
    one = request_key("get", "HTTPS://Example.org:443/a?b=1&a=2#x")

    assert one == request_key("GET", "https://example.org/a?a=2&b=1")
    assert one != request_key("POST", "https://example.org/a?a=2&b=1")


def write(root, payloads, feed=FEED, name=None):
    return segment_writer.write_segment(
        str(root), feed, name or str(new_id()), payloads, sealed_at=NOON + timedelta(days=1)
    )


def test_long_bodies_are_read_one_by_one_and_the_same(tmp_path):
    payloads = [
        make_payload(bytes([n]) * 20_000 if n % 7 else None, sequence=n, minute=n)
        for n in range(100)
    ]
    info = write(tmp_path, payloads)

    assert list(segments.iter_payloads(str(tmp_path), info.path)) == payloads


def test_long_bodies_in_pages_of_another_program_are_read_too(tmp_path):
    payloads = [make_payload(b"%05d" % n * 5_000, sequence=n, minute=n) for n in range(100)]
    info = write(tmp_path, payloads)
    metadata = pq.read_metadata(tmp_path / info.path).metadata
    pq.write_table(
        rows.to_table(payloads).replace_schema_metadata(
            {key: value for key, value in metadata.items() if key != b"ARROW:schema"}
        ),
        tmp_path / info.path,
        write_batch_size=10,
        data_page_size=100_000,
        use_dictionary=False,
        compression="zstd",
    )

    assert list(segments.iter_payloads(str(tmp_path), info.path)) == payloads


def test_a_request_key_is_the_digest_of_a_json_list():
    url, headers = 'https://example.org/a?q="ü\\', [("X-B", "ü"), ("X-A", "1")]

    key = request_key("post", url, b"body", headers)

    parts = ["POST", canonical_url(url), digest(b"body"), [["x-a", "1"], ["x-b", "ü"]]]
    assert key == digest(json.dumps(parts).encode())


def test_a_payload_made_quickly_is_the_one_made_slowly_and_has_its_fields_alone():
    made = make_payload(b"{}", headers=(("A", "b"),))
    given = {
        name: getattr(made, name) for name in ("fetch_id", "run_id", "sequence", "feed", "url")
    }
    given |= {"request_key": made.request_key, "status": 200, "fetched_at": NOON}

    assert rows.new_payload(**given) == Payload(**given)
    for wrong in ({"stated": 200}, {}):
        with pytest.raises(TypeError, match="status"):
            rows.new_payload(**{k: v for k, v in given.items() if k != "status"} | wrong)
