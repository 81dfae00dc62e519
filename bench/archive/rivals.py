"""Bytes that other ways of keeping a history need: gzip, WARC, JSON lines, git, zstd."""

import calendar
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import zstandard
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from raw_store.snapshots import Snapshot, read_log

Read = Callable[[], Iterable[Snapshot]]


def gzip_each(folder: Path, log: Path) -> int:
    """Each body by itself, level 6; bodies alone."""
    return sum(len(gzip.compress(each.body, 6, mtime=0)) for each in read_log(log))


def warc_gz(folder: Path, log: Path) -> int:
    """warcio, a gzipped response record each; a body seen before is a revisit record."""
    path = folder / "history.warc.gz"
    seen: dict[str, tuple[str, str]] = {}
    with open(path, "wb") as file:
        writer = WARCWriter(file, gzip=True)
        for each in read_log(log):
            date = _text_time(each)
            heads = StatusAndHeaders(
                "200 OK",
                [("Content-Type", "application/json"), ("Content-Length", str(len(each.body)))],
                protocol="HTTP/1.1",
            )
            digest = hashlib.sha256(each.body).hexdigest()
            dated = {"WARC-Date": date}
            if first := seen.get(digest):
                record = writer.create_revisit_record(
                    each.url,
                    f"sha256:{digest}",
                    *first,
                    http_headers=heads,
                    warc_headers_dict=dated,
                )
            else:
                seen[digest] = (each.url, date)
                record = writer.create_warc_record(
                    each.url,
                    "response",
                    payload=io.BytesIO(each.body),
                    http_headers=heads,
                    warc_headers_dict=dated,
                )
            writer.write_record(record)
    return path.stat().st_size


def jsonl_gz(folder: Path, log: Path) -> int:
    """One JSON object a line, with URL, time and digest; the whole file gzipped, level 6."""
    path = folder / "history.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        for each in read_log(log):
            line = {
                "url": each.url,
                "method": each.method,
                "request_body": each.request_body and each.request_body.decode(),
                "fetched_at": _text_time(each),
                "sha256": hashlib.sha256(each.body).hexdigest(),
                "body": each.body.decode(),
            }
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    return path.stat().st_size


def zstd_long(folder: Path, log: Path) -> int:
    """`zstd -19 --long=31` over all bodies one after the other: one frame, a window of 2 GiB.

    By the `zstd` program where there is one, else by the library, whose result is 2 % larger.
    """
    whole, path = folder / "history.bodies", folder / "history.zst"
    with open(whole, "wb") as file:
        for each in read_log(log):
            file.write(len(each.body).to_bytes(4, "big"))
            file.write(each.body)
    size = whole.stat().st_size
    if program := shutil.which("zstd"):
        command = [program, "-q", "-19", "--long=31", "-T0", str(whole), "-o", str(path)]
        subprocess.run(command, check=True)
    else:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            19, source_size=size, window_log=31, enable_ldm=True, threads=-1
        )
        compressor = zstandard.ZstdCompressor(compression_params=parameters)
        with open(whole, "rb") as source, open(path, "wb") as file:
            compressor.copy_stream(source, file, size=size)
    whole.unlink()
    return path.stat().st_size


def git_repacked(folder: Path, log: Path) -> int:
    """One file a URL, one commit a snapshot, then `git repack -adf`; the whole bare repository."""
    repository = folder / "history.git"
    _git("init", "--quiet", "--bare", "--initial-branch=main", str(repository))
    importing = subprocess.Popen(
        ["git", "-C", str(repository), "fast-import", "--quiet"], stdin=subprocess.PIPE
    )
    assert importing.stdin is not None
    for part in _commits(log):
        importing.stdin.write(part)
    importing.stdin.close()
    if importing.wait() != 0:
        raise SystemExit("git fast-import failed; see above.")
    _git("-C", str(repository), "repack", "-adfq")
    _git("-C", str(repository), "gc", "--quiet", "--prune=now")
    return _repository_bytes(repository)


def git_aggressive(folder: Path, log: Path) -> int:
    """The repository of `git_repacked` after `git gc --aggressive --prune=now`."""
    repository = folder / "history.git"
    _git("-C", str(repository), "gc", "--quiet", "--aggressive", "--prune=now")
    return _repository_bytes(repository)


def _commits(log: Path) -> Iterator[bytes]:
    names: dict[str, str] = {}
    for each in read_log(log):
        name = names.setdefault(each.url, f"body-{len(names)}.json")
        at = calendar.timegm(each.fetched_at.utctimetuple())
        yield (
            f"commit refs/heads/main\ncommitter s <s@e> {at} +0000\ndata 1\nx\n"
            f"M 100644 inline {name}\ndata {len(each.body)}\n"
        ).encode()
        yield each.body
        yield b"\n"


def _repository_bytes(repository: Path) -> int:
    return sum(
        os.path.getsize(Path(folder) / name)
        for folder, _, names in os.walk(repository)
        for name in names
        if "hooks" not in Path(folder).parts
    )


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "gc.reflogExpire=now", *arguments], check=True)


def _text_time(each: Snapshot) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", each.fetched_at.utctimetuple())
