"""WARC files that somebody made to hurt: refused or kept, never a crash, never much memory."""

import gzip
import os
import random
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raw_store.errors import ArchiveError, ImportRefused
from raw_store.interchange.warc_fields import COLUMNS
from raw_store.interchange.warc_records import read_records

from .conftest import FEED, URL, make_payload
from .exchanging import exported, fresh, rows_of, take
from .test_warc_import import OK, only, pair, record

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def some_bytes() -> bytes:
    """Records of several kinds, as other programs write them."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    encoded = gzip.compress(b"body" * 9, mtime=0)
    block = chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (len(encoded), encoded)
    return (
        record("warcinfo", b"software: x\r\n", WARC_Target_URI=None)
        + pair(1)
        + record("response", block, WARC_Record_ID="<urn:c>")
        + record("revisit", OK, WARC_Refers_To="<urn:c>")
        + record("resource", b"a,b")
        + record("metadata", b"rootcellar-fetch: 1\r\nfetch_id: 7\r\n")
    )


@given(data=st.data())
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_bytes_that_were_changed_are_refused_or_taken(db, tmp_path_factory, some_bytes, data):
    changed = bytearray(some_bytes)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed)))
        kind = data.draw(st.sampled_from(["set", "cut", "insert", "double", "remove"]))
        if kind == "set":
            changed[at : at + 1] = [data.draw(st.integers(0, 255))]
        elif kind == "cut":
            del changed[at + 1 :]
        elif kind == "insert":
            changed[at:at] = data.draw(
                st.sampled_from([b"\r\n", b"\n\n", b"9", b"\0", b": ", b"-"])
            )
        elif kind == "double":
            changed[at:at] = changed[at : at + 300]
        else:
            del changed[at : at + 20]
    folder = tmp_path_factory.mktemp("hostile")
    path = folder / "some.warc"
    is_compressed = data.draw(st.booleans())
    path.write_bytes(gzip.compress(bytes(changed)) if is_compressed else bytes(changed))

    archive = fresh(folder / "archive")
    with suppress(ImportRefused):
        take(archive, path)

    assert all(report.is_whole for report in archive.verify())


@given(noise=st.binary(max_size=300), start=st.sampled_from([b"", b"WARC/1.1\r\n", b"\x1f\x8b"]))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused(noise, start, tmp_path_factory):
    path = tmp_path_factory.mktemp("noise") / "noise.warc"
    path.write_bytes(start + noise)

    said = ""
    try:
        assert list(read_records(path)) == [] or start == b"WARC/1.1\r\n"
    except ImportRefused as error:
        said = str(error)

    assert said == "" or str(path) in said


@pytest.mark.parametrize("column", ["fetch_id", "feed", "fetched_at", "body_digest", "sequence"])
@pytest.mark.parametrize(
    "value", ["null", '"x"', "7", "[]", "1e999", "{}", '"\\ud800"', "nonsense"]
)
def test_metadata_that_lies_restores_nothing(archive, tmp_path, column, value):
    archive.append_all(FEED, [make_payload(b"body")])
    (path,) = exported(archive, tmp_path / "all.warc")
    changed = _with_column(path.read_bytes(), column, value)
    path.write_bytes(changed)

    done = take(second := fresh(tmp_path / "second"), path)

    row = only(second)
    assert row.body == b"body"
    assert all(report.is_whole for report in second.verify())
    # Any text is another feed, of which the fetch is a copy; any number is a position.
    is_possible = (column, value) in [("feed", '"x"'), ("sequence", "7")]
    assert bool(done.problems) != is_possible


def _with_column(whole: bytes, column: str, value: str) -> bytes:
    """The export with one column of its metadata changed, and lengths and digests put right."""
    head, mark, block = whole.rpartition(b"rootcellar-fetch: 1\r\n")
    lines = (mark + block).rstrip(b"\r\n").split(b"\r\n")
    name = f"{column}: ".encode()
    assert column in COLUMNS
    lines = [name + value.encode() if line.startswith(name) else line for line in lines]
    block = b"".join(line + b"\r\n" for line in lines)
    start = head.rindex(b"WARC/1.1")
    fields = [
        line
        for line in head[start:].split(b"\r\n")
        if line and not line.startswith((b"Content-Length", b"WARC-Block-Digest"))
    ]
    fields.append(b"Content-Length: %d" % len(block))
    return head[:start] + b"\r\n".join([*fields, b"", b""]) + block + b"\r\n\r\n"


def test_a_body_that_is_not_the_one_of_the_metadata_is_no_version(archive, tmp_path):
    archive.append_all(FEED, [make_payload(b"body")])
    (path,) = exported(archive, tmp_path / "all.warc")
    path.write_bytes(path.read_bytes().replace(b"\r\n\r\nbody\r\n", b"\r\n\r\nevil\r\n"))

    done = take(second := fresh(tmp_path / "second"), path)

    row = only(second)
    assert (row.body, (row.error or "")[:7]) == (b"evil", "digest:")
    assert "not those of its digests" in done.problems[0]
    assert row.fetch_id != make_payload(b"body").fetch_id


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (b"WARC/1.0\r\nX: " + b"a" * 1_000_000, "a line of a record's header is longer"),
        (b"WARC/1.0\r\n" + b"X: a\r\n" * 100_000, "more than 1,000 header fields"),
        (b"WARC/1.0\r\nContent-Length: 999999999999999\r\n\r\nx", "before the end of a record"),
        (b"WARC/1.0\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\nx", "Content-Length is"),
    ],
)
def test_heads_without_measure_are_refused(archive, tmp_path, head, complaint):
    path = tmp_path / "some.warc.gz"
    path.write_bytes(gzip.compress(head))

    with pytest.raises(ArchiveError, match=complaint):
        take(archive, path)


def test_bombs_take_little_memory(tmp_path):
    """Gzip around the record, and a gzip body inside one: 200 MB and 64 MB from a few."""
    path = tmp_path / "bomb.warc.gz"
    size = 200 << 20
    with open(path, "wb") as file:
        member = zlib.compressobj(1, zlib.DEFLATED, 31)
        start = record("response", OK, Content_Length=str(len(OK) + size)).rstrip(b"\r\n")
        file.write(member.compress(start + b"\r\n\r\n"))
        zeros = bytes(1 << 20)
        for _ in range(size >> 20):
            file.write(member.compress(zeros))
        file.write(member.compress(b"\r\n\r\n") + member.flush())
        inner = zlib.compressobj(1, zlib.DEFLATED, 31)
        encoded = b"".join(inner.compress(zeros) for _ in range(64)) + inner.flush()
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
        file.write(gzip.compress(record("response", head + encoded)))
    script = (
        "import django; django.setup()\n"
        "from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
        "from pathlib import Path\n"
        "from raw_store.archive import Archive\n"
        "from tests.raw_store.exchanging import take\n"
        f"archive = Archive({str(tmp_path / 'archive')!r})\n"
        f"done = take(archive, Path({str(path)!r}))\n"
        "assert (done.added, done.problems) == (2, []), done\n"
        "for row in archive.captures('quakes.day').to_pylist(): print(row['error'])\n"
        "print(Path('/proc/self/status').read_text())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "tests.raw_store.alone",
            "ROOTCELLAR_TEST_HOME": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    status = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    assert "expansion: " in done.stdout
    assert int(status["VmHWM"].split()[0]) / 1024 < 300


def test_random_garbage_between_records_is_found(archive, tmp_path):
    chance = random.Random(3)
    path = tmp_path / "some.warc"
    path.write_bytes(pair(1) + chance.randbytes(200) + b"\n" + pair(2))

    with pytest.raises(ImportRefused, match="a record is expected"):
        take(archive, path)

    assert [row["url"] for row in rows_of(archive)] == [f"{URL}?1"]
