"""WARC files of other programs, record by record: what each becomes."""

import gzip
import zlib
from base64 import b32encode
from contextlib import suppress
from hashlib import sha1
from itertools import product

import pytest

from raw_store.errors import ImportRefused

from .conftest import FEED, URL, make_payload
from .exchanging import exported, take

DATE = "2026-03-01T12:00:00Z"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"


def record(kind: str, block: bytes, **named: str | None) -> bytes:
    """One record; `named` holds headers, WARC-Date and so on written with underscores."""
    is_http = kind in ("response", "request", "revisit")
    said: dict[str, str | None] = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:x:{sha1(block + kind.encode()).hexdigest()}>",
        "WARC-Date": DATE,
        "WARC-Target-URI": URL,
        "Content-Type": f"application/http; msgtype={kind}" if is_http else "text/plain",
        "Content-Length": str(len(block)),
    }
    said |= {name.replace("_", "-"): value for name, value in named.items()}
    lines = [f"{name}: {value}" for name, value in said.items() if value is not None]
    return "\r\n".join(["WARC/1.0", *lines, "", ""]).encode() + block + b"\r\n\r\n"


def pair(number: int, body: bytes = b"x") -> bytes:
    """A response and its request."""
    url = f"{URL}?{number}"
    response = record("response", OK + body, WARC_Record_ID=f"<r{number}>", WARC_Target_URI=url)
    asked = b"GET /?%d HTTP/1.1\r\nHost: example.org\r\n\r\n" % number
    request = record(
        "request", asked, WARC_Record_ID=f"<q{number}>", WARC_Concurrent_To=f"<r{number}>"
    )
    return response + request


def imported(archive, tmp_path, *records: bytes, **options):
    path = tmp_path / "some.warc"
    path.write_bytes(b"".join(records))
    return take(archive, path, **options)


def only(archive):
    (row,) = archive.scan(FEED)
    return row


def test_heads_are_taken_to_the_letter(archive, tmp_path):
    head = (
        b"HTTP/1.0 200\nX-A:  one \r\nx-a: two\r\nFolded: a\r\n  b\r\n\tc\r\nEmpty:\r\n"
        b"X-\xfc: \xe4\r\nno colon\r\n\n"
    )
    done = imported(archive, tmp_path, record("response", head + b"\r\nbody"))

    row = only(archive)
    assert done.problems == []
    assert (row.status, row.reason, row.http_version) == (200, None, "HTTP/1.0")
    assert row.headers == (
        ("X-A", "one"),
        ("x-a", "two"),
        ("Folded", "a b c"),
        ("Empty", ""),
        ("X-ü", "ä"),
        ("no colon", ""),
    )
    assert row.body == b"\r\nbody"


@pytest.mark.parametrize(
    ("line", "reason"), [(b"200 ", ""), (b"200", None), (b"200 Very  Fine ", "Very  Fine ")]
)
def test_an_empty_reason_is_not_a_missing_one(archive, tmp_path, line, reason):
    imported(archive, tmp_path, record("response", b"HTTP/1.1 " + line + b"\r\n\r\n"))

    assert only(archive).reason == reason


@pytest.mark.parametrize(
    ("order", "link"),
    [
        *product(["request first", "response first", "apart"], ["from request", "from response"]),
        *product(["request first", "response first"], ["none"]),
    ],
)
def test_a_request_finds_its_response(archive, tmp_path, order, link):
    asked = b"POST /day.json HTTP/1.1\r\nHost: example.org\r\n\r\na=1"
    to = {"WARC_Concurrent_To": "<urn:a>"}
    response = record(
        "response",
        OK + b"body",
        WARC_Record_ID="<urn:a>" if link != "from response" else "<urn:b>",
        **(to if link == "from response" else {}),
    )
    request = record(
        "request",
        asked,
        WARC_Record_ID="<urn:a>" if link == "from response" else "<urn:b>",
        **(to if link == "from request" else {}),
    )
    between = pair(1) + pair(2) if order == "apart" else b""
    both = (
        (request, between, response) if order == "request first" else (response, between, request)
    )

    imported(archive, tmp_path, *both)

    row = next(row for row in archive.scan(FEED) if row.url == URL)
    assert (row.method, row.request_body, row.body) == ("POST", b"a=1", b"body")
    assert row.request_headers == (("Host", "example.org"),)


@pytest.mark.parametrize("keep", [False, True])
def test_chunks_are_joined_and_codings_undone(archive, tmp_path, keep):
    encoded = zlib.compress(b"body" * 50)
    size, half = b"%x" % len(encoded), len(encoded) // 2
    chunks = b"".join(
        b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in (encoded[:half], encoded[half:])
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nTransfer-Encoding: Chunked\r\n\r\n"
    block = head + chunks + b"0\r\nTrailer: x\r\n\r\n"

    done = imported(archive, tmp_path, record("response", block), keep_encoded=keep)

    row = only(archive)
    assert (row.body, row.encoded_size, row.error) == (b"body" * 50, int(size, 16), None)
    assert row.encoded_body == (encoded if keep else None)
    assert done.problems == []


def test_a_block_whose_chunks_were_joined_before_is_taken_as_it_is(archive, tmp_path):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    imported(archive, tmp_path, record("response", head + b"<html>plain"))

    assert (only(archive).body, only(archive).error) == (b"<html>plain", None)


@pytest.mark.parametrize("said", ["length", "time", "disconnect", "of its own"])
def test_a_truncated_record_says_so_in_its_row(archive, tmp_path, said):
    encoded = gzip.compress(b"body" * 500)[:-12]
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    imported(archive, tmp_path, record("response", head + encoded, WARC_Truncated=said))

    row = only(archive)
    assert row.truncated == (said if said != "of its own" else "unspecified")
    assert row.error is None
    assert row.encoded_body == encoded


@pytest.mark.parametrize("name", ["WARC_Block_Digest", "WARC_Payload_Digest"])
def test_bytes_that_are_not_those_of_their_digest_are_kept_and_no_version(archive, tmp_path, name):
    wrong = "sha1:" + b32encode(sha1(b"other").digest()).decode()
    imported(archive, tmp_path, record("response", OK + b"body", **{name: wrong}))

    row = only(archive)
    assert (row.error or "").startswith("digest: the ")
    assert row.body == b"body"
    assert archive.captures(FEED)["error"].to_pylist() == [row.error]


@pytest.mark.parametrize("counted", ["chunks", "joined", "decoded"])
@pytest.mark.parametrize("written", ["base32", "hex", "lower", "unknown"])
def test_a_payload_digest_is_true_however_it_is_counted_and_written(
    archive, tmp_path, counted, written
):
    encoded = gzip.compress(b"body", mtime=0)
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(encoded), encoded)
    found = sha1({"chunks": chunks, "joined": encoded, "decoded": b"body"}[counted])
    said = {
        "base32": "sha1:" + b32encode(found.digest()).decode(),
        "hex": "SHA-1:" + found.hexdigest(),
        "lower": "sha1:" + b32encode(found.digest()).decode().lower(),
        "unknown": "crc32:abcdef",
    }[written]
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    imported(archive, tmp_path, record("response", head + chunks, WARC_Payload_Digest=said))

    assert (only(archive).body, only(archive).error) == (b"body", None)


@pytest.mark.parametrize("by", ["id", "address and date", "digest", "archive", "sha256"])
def test_a_revisit_finds_its_body(archive, tmp_path, by):
    said = "sha1:" + b32encode(sha1(b"body").digest()).decode()
    first = record("response", OK + b"body", WARC_Record_ID="<urn:a>", WARC_Payload_Digest=said)
    named = {
        "id": {"WARC_Refers_To": "<urn:a>"},
        "address and date": {
            "WARC_Refers_To_Target_URI": URL,
            "WARC_Refers_To_Date": DATE,
        },
        "digest": {"WARC_Payload_Digest": said},
        "sha256": {
            "WARC_Payload_Digest": "sha256:"
            "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"
        },
    }
    named["archive"] = named["address and date"]
    later = {"WARC_Date": "2026-03-02T12:00:00Z"}
    revisit = record("revisit", OK, WARC_Record_ID="<urn:b>", **later, **named[by])
    if by in ("archive", "sha256"):
        imported(archive, tmp_path, first)
        done = imported(archive, tmp_path, revisit)
    else:
        done = imported(archive, tmp_path, first, revisit)

    holder, row = archive.scan(FEED)
    assert done.problems == []
    assert (row.payload_id, row.body_digest, row.error) == (
        holder.fetch_id,
        holder.body_digest,
        None,
    )
    assert archive.read(row.fetch_id).body == b"body"


def test_a_revisit_without_its_body_is_kept_with_what_it_says(archive, tmp_path):
    done = imported(
        archive, tmp_path, record("revisit", OK, WARC_Payload_Digest="sha1:" + "A" * 32)
    )

    row = only(archive)
    assert (row.body, row.payload_id, row.status) == (None, None, 200)
    assert "sha1:AAAA" in (row.error or "")
    assert done.added == 1


def test_a_resource_is_a_body_without_a_status(archive, tmp_path):
    imported(archive, tmp_path, record("resource", b"a,b\n", Content_Type="text/csv"))

    row = only(archive)
    assert (row.status, row.error, row.body, row.content_type) == (None, None, b"a,b\n", "text/csv")


def test_a_request_without_a_response_is_a_failed_fetch(archive, tmp_path):
    imported(archive, tmp_path, record("request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))

    row = only(archive)
    assert (row.status, row.body) == (None, None)
    assert (row.error or "").startswith("unrecorded:")


def test_a_response_that_is_none_is_kept(archive, tmp_path):
    imported(archive, tmp_path, record("response", b"<html>no head at all"))

    assert (only(archive).error or "").startswith("protocol: ")


def test_what_is_no_exchange_is_counted_and_passed_over(archive, tmp_path):
    done = imported(
        archive,
        tmp_path,
        record("warcinfo", b"software: x\r\n", WARC_Target_URI=None),
        record("metadata", b"via: x\r\n"),
        record("conversion", b"x"),
        record("response", b"1.2.3.4", WARC_Target_URI="dns:a", Content_Type="text/dns"),
        record("something", b"x"),
        pair(1),
    )

    assert done.added == 1
    assert done.passed_over == {
        "warcinfo": 1,
        "metadata": 1,
        "conversion": 1,
        "response": 1,
        "something": 1,
    }


@pytest.mark.parametrize(
    ("said", "micro"),
    [
        ("2026-03-01T12:00:00Z", 0),
        ("2026-03-01T12:00:00.5Z", 500_000),
        ("2026-03-01T12:00:00.123456789Z", 123_456),
        ("2026-03-01T12:00Z", 0),
    ],
)
def test_dates_of_either_version_are_read(archive, tmp_path, said, micro):
    imported(archive, tmp_path, record("response", OK, WARC_Date=said))

    at = only(archive).fetched_at
    assert (at.isoformat()[:16], at.microsecond) == ("2026-03-01T12:00", micro)


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        ({"WARC_Date": "yesterday"}, "no WARC-Date"),
        ({"WARC_Date": None}, "no WARC-Date"),
        ({"WARC_Target_URI": "urn:x"}, "no http or https address"),
        ({"WARC_Target_URI": "http://a:port/"}, "not archived"),
    ],
)
def test_a_record_that_cannot_be_taken_is_named_and_its_neighbours_are_taken(
    archive, tmp_path, named, complaint
):
    done = imported(archive, tmp_path, pair(1), record("response", OK, **named), pair(2))

    assert (done.added, len(done.problems)) == (2, 1)
    assert complaint in done.problems[0]
    assert "some.warc, offset " in done.problems[0]


def test_angle_brackets_around_an_address_are_no_part_of_it(archive, tmp_path):
    imported(archive, tmp_path, record("response", OK, WARC_Target_URI=f"<{URL}>"))

    assert only(archive).url == URL


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("where", ["block", "header"])
def test_of_a_file_that_is_cut_off_the_whole_exchanges_stay(archive, tmp_path, compress, where):
    parts = [pair(number) for number in range(5)]
    last = len(parts[4]) // 2 if where == "block" else 20
    whole = b"".join(gzip.compress(part) if compress else part for part in parts)
    cut = b"".join(parts)[: sum(map(len, parts[:4])) + last]
    path = tmp_path / "cut.warc.gz"
    path.write_bytes(whole[:-25] if compress else cut)

    with pytest.raises(ImportRefused, match=r"cut\.warc\.gz, offset [\d,]+.*: the .*file"):
        take(archive, path)
    urls = [row.url for row in archive.scan(FEED)]
    path.write_bytes(whole)
    done = take(archive, path)

    assert urls[:4] == [f"{URL}?{number}" for number in range(4)]
    assert (done.added + len(urls), done.known) == (5, len(urls))
    assert {row.method for row in archive.scan(FEED)} == {"GET"}
    assert all(row.request_headers for row in archive.scan(FEED))


def test_an_export_that_is_cut_off_adds_no_fetch_of_another_id(archive, tmp_path):
    payloads = [make_payload(b"%d" % n, minute=n, url=f"{URL}?{n}") for n in range(3)]
    archive.append_all(FEED, payloads)
    (path,) = exported(archive, tmp_path / "all.warc")
    whole = path.read_bytes()
    starts = [at for at in range(len(whole)) if whole.startswith(b"WARC/1.1\r\n", at)]

    for cut in (starts[-1] + 40, starts[-1], starts[-2] + 40, starts[-2]):
        path.write_bytes(whole[:cut])
        done = _take_what_is_there(archive, path)
        assert done == {payload.fetch_id for payload in payloads}


def _take_what_is_there(archive, path):
    with suppress(ImportRefused):
        take(archive, path)
    return {row.fetch_id for row in archive.scan(FEED)}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"filedesc://a.arc 0.0.0.0 20100101000000 text/plain 5\n1 0 x\n", "is an ARC file"),
        (gzip.compress(b"filedesc://a.arc 0.0.0.0 2010 text/plain 5\n"), "is an ARC file"),
        (b"\x28\xb5\x2f\xfd....", "compressed with zstd"),
        (b"<html>", "a record is expected"),
        (b"WARC/1.0\r\nContent-Length: many\r\n\r\n", "Content-Length is 'many'"),
        (b"WARC/1.0\r\n\r\n", "Content-Length is ''"),
        (b"WARC/1.0\r\nWARC-Type: response\r\n", "ends within a record's header"),
        (pair(1).replace(b"Content-Length: ", b"Content-Length: 99"), "before the end of a record"),
        (
            pair(1).replace(b"Content-Length: 4", b"Content-Length: 3"),
            "another length than it says",
        ),
    ],
)
def test_what_is_no_warc_file_is_refused_clearly(archive, tmp_path, content, complaint):
    path = tmp_path / "some.warc"
    path.write_bytes(content)

    with pytest.raises(ImportRefused, match=complaint):
        take(archive, path)
