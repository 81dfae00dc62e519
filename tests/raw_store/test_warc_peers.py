"""Two independent programs, warcio and FastWARC, accept what is written, and theirs is read."""

import gzip
import hashlib
import io
import subprocess
import sys
import threading
from base64 import b32encode
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import warcio
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from warcio.capture_http import capture_http
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from raw_store.payload import Payload, digest

from .conftest import FEED, URL, make_payload
from .exchanging import exported, fresh, rows_of, take

BODY = b'{"quakes": []}' * 20
HEADERS = (
    ("Content-Type", "application/json"),
    ("Set-Cookie", "a=1"),
    ("set-cookie", "b=2"),
    ("X-Place", "Zürich"),
    ("X-Empty", ""),
)


def coded(minute: float, *, kept: bool, **values) -> Payload:
    """A gzip response that came in chunks."""
    encoded = gzip.compress(BODY, mtime=0)
    return make_payload(
        BODY,
        minute=minute,
        headers=(
            *HEADERS,
            ("Content-Encoding", "gzip"),
            ("Transfer-Encoding", "chunked"),
        ),
        content_encoding="gzip",
        content_type="application/json",
        encoded_digest=digest(encoded),
        encoded_size=len(encoded),
        encoded_body=encoded if kept else None,
        **values,
    )


def every_kind() -> list[Payload]:
    """One fetch of each kind that an export tells apart."""
    asked: dict[str, Any] = {
        "request_headers": (("Accept", "*/*"), ("X-Place", "Zürich")),
        "reason": "OK",
    }
    return [
        make_payload(BODY, headers=HEADERS, http_version="HTTP/1.1", **asked),
        make_payload(BODY, minute=1, headers=HEADERS, http_version="HTTP/2", **asked),
        make_payload(None, minute=2, status=304, headers=(("ETag", '"a"'),), **asked),
        coded(3, kept=False, url=f"{URL}?decoded"),
        coded(4, kept=False, url=f"{URL}?decoded"),
        coded(5, kept=True, url=f"{URL}?kept"),
        coded(6, kept=True, url=f"{URL}?kept"),
        make_payload(b"", minute=7, status=204, url=f"{URL}?empty", reason=None),
        make_payload(b"cut", minute=8, url=f"{URL}?cut", truncated="disconnect", error="x: y"),
        make_payload(None, minute=9, url=f"{URL}?failed", status=None, error="timeout: 30 s"),
        make_payload(b"old", minute=10, url=f"{URL}?imported", status=None),
        make_payload(b"old", minute=11, url=f"{URL}?imported", status=None),
        make_payload(b"made", minute=12, url=f"{URL}?é", method="POST", request_body=b"a=\xff"),
        make_payload(b"", minute=13, url=f"{URL}?head", method="HEAD", headers=HEADERS),
    ]


@pytest.fixture(params=["quakes.warc.gz", "quakes.warc"])
def exports(request, archive, tmp_path) -> tuple[Path, list[Payload]]:
    archive.append_all(FEED, every_kind())
    (path,) = exported(archive, tmp_path / request.param)
    return path, list(archive.scan(FEED))


def test_warcio_reads_every_record_and_finds_its_digests_true(exports):
    path, rows = exports
    found: Counter[str] = Counter()
    bodies = {}
    with open(path, "rb") as file:
        for record in warcio.ArchiveIterator(file, check_digests="raise"):
            found[record.rec_type] += 1
            body = record.content_stream().read()
            if record.rec_type in ("response", "resource"):
                bodies[record.rec_headers.get_header("WARC-Record-ID")] = body
            if record.rec_type != "revisit":
                assert record.digest_checker.passed

    assert found == {
        "warcinfo": 1,
        "response": 8,
        "revisit": 4,
        "resource": 1,
        "request": 12,
        "metadata": 14,
    }
    # Decoded by their headers, all that have a body give the body.
    for row in rows:
        if row.body is not None:
            assert bodies[f"<urn:uuid:{row.fetch_id}>"] == row.body


def test_warcio_check_accepts_the_files(exports):
    path, _ = exports
    program = Path(sys.executable).parent / "warcio"

    done = subprocess.run([program, "check", "-v", path], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    assert done.stderr == ""


def test_fastwarc_reads_every_record_and_finds_its_digests_true(exports):
    path, rows = exports
    found: Counter[str] = Counter()
    with open(path, "rb") as file:
        for record in FastIterator(file, parse_http=False):
            found[str(record.record_type)] += 1
            assert record.verify_block_digest()
            if record.is_http and record.record_type != _REVISIT:
                record.parse_http()
                assert record.verify_payload_digest()

    assert sum(found.values()) == 40
    assert len(rows) == 14


_REVISIT = WarcRecordType.revisit


def test_fastwarc_passes_over_none_when_it_verifies(exports):
    path, _ = exports

    with open(path, "rb") as file:
        verified = [record.record_id for record in FastIterator(file, verify_digests=True)]
    with open(path, "rb") as file:
        every = [record.record_id for record in FastIterator(file)]

    assert len(every) == 40
    assert set(every) - set(verified) <= {r for r in every if r in _without_payload(path)}


def _without_payload(path: Path) -> set[str]:
    """Revisits: the digest of a payload that is elsewhere cannot be verified."""
    with open(path, "rb") as file:
        return {str(record.record_id) for record in FastIterator(file, record_types=_REVISIT)}


def test_both_see_the_headers_in_order_with_case_and_duplicates(exports):
    path, rows = exports
    first = f"<urn:uuid:{rows[0].fetch_id}>"
    with open(path, "rb") as file:
        (by_warcio,) = (
            record.http_headers
            for record in warcio.ArchiveIterator(file)
            if record.rec_headers.get_header("WARC-Record-ID") == first
        )
    with open(path, "rb") as file:
        (by_fastwarc,) = (
            record.http_headers.items_bytes()
            for record in FastIterator(file)
            if record.record_id == first
        )

    assert by_warcio.get_statuscode() == "200"
    assert by_warcio.headers == list(HEADERS)
    assert [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in by_fastwarc
    ] == list(HEADERS)


def test_a_revisit_says_what_it_refers_to(exports):
    path, rows = exports
    with open(path, "rb") as file:
        revisits = [
            dict(record.rec_headers.headers)
            for record in warcio.ArchiveIterator(file)
            if record.rec_type == "revisit"
        ]
    with open(path, "rb") as file:
        responses = {
            said["WARC-Record-ID"]: said
            for record in warcio.ArchiveIterator(file)
            if (said := dict(record.rec_headers.headers))
        }

    for revisit in revisits:
        holder = responses[revisit["WARC-Refers-To"]]
        assert revisit["WARC-Refers-To-Target-URI"] == holder["WARC-Target-URI"]
        assert revisit["WARC-Refers-To-Date"] == holder["WARC-Date"]
        assert revisit["WARC-Payload-Digest"] == holder["WARC-Payload-Digest"]
    assert {revisit["WARC-Profile"].rpartition("/")[2] for revisit in revisits} == {
        "identical-payload-digest",
        "server-not-modified",
    }
    assert len(revisits) == sum(row.is_revisit and row.encoded_body is None for row in rows)


class _Wire(BaseHTTPRequestHandler):
    """Answers as servers do: gzip in chunks, duplicates. (Above ASCII warcio changes headers.)"""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        encoded = gzip.compress(BODY, mtime=0)
        head = (
            b"HTTP/1.1 200 Fine\r\nContent-Type: application/json\r\nX-Empty: \r\n"
            b"set-cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Encoding: gzip\r\n"
        )
        if self.path == "/chunked":
            size = b"%x\r\n" % len(encoded)
            body = size + encoded + b"\r\n0\r\n\r\n"
            self.wfile.write(head + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        else:
            self.wfile.write(head + b"Content-Length: %d\r\n\r\n" % len(encoded) + encoded)

    def log_message(self, *arguments):
        """Nothing."""


@contextmanager
def served():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Wire)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def captured(path: Path, *addresses: str) -> bytes:
    """What warcio records while the standard library's client asks."""
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    with served() as origin, capture_http(str(path), warc_version="1.1"):
        for address in addresses:
            connection = HTTPConnection(urlsplit(origin).netloc)
            connection.request("GET", address, headers={"Accept": "*/*"})
            connection.getresponse().read()
            connection.close()
    return path.read_bytes()


def blocks_of(path: Path, kind: str) -> list[bytes]:
    with open(path, "rb") as file:
        return [
            record.raw_stream.read()
            for record in warcio.ArchiveIterator(file, no_record_parse=True)
            if record.rec_type == kind
        ]


def test_a_capture_by_warcio_comes_out_byte_for_byte_where_encoded_bodies_are_kept(
    archive, tmp_path
):
    path = tmp_path / "capture.warc.gz"
    captured(path, "/plain")

    done = take(archive, path, keep_encoded=True)
    (again,) = exported(archive, tmp_path / "again.warc.gz")

    (row,) = archive.scan(FEED)
    assert (done.added, done.problems) == (1, [])
    assert (row.status, row.reason, row.http_version) == (200, "Fine", "HTTP/1.1")
    assert row.body == BODY
    assert [name for name, _ in row.headers if name.lower() == "set-cookie"] == [
        "set-cookie",
        "Set-Cookie",
    ]
    assert blocks_of(again, "response") == blocks_of(path, "response")
    assert blocks_of(again, "request") == blocks_of(path, "request")


def test_of_a_capture_in_chunks_only_the_chunks_are_undone(archive, tmp_path):
    path = tmp_path / "capture.warc.gz"
    captured(path, "/chunked")

    take(archive, path, keep_encoded=True)
    (again,) = exported(archive, tmp_path / "again.warc.gz")

    (recorded,), (block,) = blocks_of(path, "response"), blocks_of(again, "response")
    head, _, chunks = recorded.partition(b"\r\n\r\n")
    size, _, rest = chunks.partition(b"\r\n")
    named = head.replace(b"Transfer-Encoding", b"X-Archive-Orig-Transfer-Encoding")
    assert block == named + b"\r\n\r\n" + rest[: int(size, 16)]


def test_what_warcio_writes_is_read_in_every_shape(archive, tmp_path):
    for version, is_compressed in (("1.0", True), ("1.1", False)):
        path = tmp_path / f"{version}.warc"
        with open(path, "wb") as file:
            writer = WARCWriter(file, gzip=is_compressed, warc_version=version)
            _write_pair(writer, f"{URL}?{version}", b"one", "2026-03-01T12:00:00Z")
            _write_revisit(writer, f"{URL}?{version}", b"one")

        done = take(archive, path)

        assert (done.added, done.problems) == (2, [])
    first, second, *_ = archive.scan(FEED)
    assert (first.body, first.method, first.request_body) == (b"one", "POST", b"a=1")
    assert (second.payload_id, second.body_digest) == (first.fetch_id, first.body_digest)
    assert all(report.is_whole for report in archive.verify())
    assert archive.captures(FEED)["run_is_complete"].to_pylist() == [True] * 4


def test_a_recompressed_file_gives_the_same_fetches(archive, tmp_path):
    path = tmp_path / "plain.warc"
    with open(path, "wb") as file:
        writer = WARCWriter(file, gzip=False)
        _write_pair(writer, URL, b"one", "2026-03-01T12:00:00Z")
    whole = tmp_path / "whole.warc.gz"
    whole.write_bytes(gzip.compress(path.read_bytes()))

    take(archive, path)
    done = take(archive, whole)

    assert (done.added, done.known) == (0, 1)


def test_an_export_of_an_import_is_restored_as_it_is(archive, tmp_path):
    path = tmp_path / "capture.warc.gz"
    captured(path, "/plain", "/chunked", "/plain")
    take(archive, path)
    before = rows_of(archive)

    files = exported(archive, tmp_path / "again")
    take(second := fresh(tmp_path / "second"), *files)

    assert len(before) == 3
    assert rows_of(second) == before


def _write_pair(writer, url, body, date):
    head = StatusAndHeaders("200 OK", [("Content-Type", "text/plain")], protocol="HTTP/1.1")
    asked = StatusAndHeaders("POST / HTTP/1.1", [("Host", "example.org")], is_http_request=True)
    response = writer.create_warc_record(
        url,
        "response",
        payload=io.BytesIO(body),
        length=len(body),
        http_headers=head,
        warc_headers_dict={"WARC-Date": date},
    )
    request = writer.create_warc_record(
        url, "request", payload=io.BytesIO(b"a=1"), length=3, http_headers=asked
    )
    writer.write_request_response_pair(request, response)


def _write_revisit(writer, url, body):
    sha1 = "sha1:" + b32encode(hashlib.sha1(body).digest()).decode()
    head = StatusAndHeaders("200 OK", [("Content-Type", "text/plain")], protocol="HTTP/1.1")
    record = writer.create_revisit_record(url, sha1, url, "2026-03-01T12:00:00Z", http_headers=head)
    record.rec_headers.replace_header("WARC-Date", "2026-03-02T12:00:00Z")
    writer.write_record(record)
