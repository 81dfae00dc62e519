"""Snapshots: what an address returned at some time, as another program recorded it.

A snapshot log is a file with one JSON object a line, oldest first: `url`, `fetched_at` (with its
time zone) and `body`; where they were recorded also `method`, `request_body`, `status`, and `bytes`
and `sha256` of the body, which are then compared. Other keys are ignored. Any other file is one
snapshot, its content the body.
"""

import gzip
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

import orjson

from .errors import ImportRefused
from .payload import digest

LOG_SUFFIXES = (".jsonl", ".jsonl.xz", ".jsonl.gz")
_NAME_FORMATS = ("%Y-%m-%dT%H%M%SZ", "%Y-%m-%dT%H-%M-%SZ", "%Y%m%dT%H%M%SZ", "%Y-%m-%d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one address returned at one time."""

    url: str
    method: str = "GET"
    request_body: bytes | None = None
    status: int | None = None
    fetched_at: datetime
    body: bytes


def is_log(path: Path) -> bool:
    """Whether a file is a snapshot log, by its name."""
    return path.name.endswith(LOG_SUFFIXES)


def read_log(path: Path) -> Iterator[Snapshot]:
    """The snapshots of a log, one line in memory at a time.

    Raises `ImportRefused`, naming file and line, for a line that is not a snapshot.
    """
    number = 0
    try:
        with _open_log(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    yield _snapshot(orjson.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    reason = f"{error.args[0]} is missing" if type(error) is KeyError else error
                    raise ImportRefused(
                        f"{path}, line {number}: not a snapshot: {reason}. "
                        "Nothing of this line is archived; the lines before it are. "
                        "Mend the line and import the file again: what is archived is passed over."
                    ) from None
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ImportRefused(
            f"{path} cannot be read after line {number}: {str(error).rstrip('.')}. "
            "The lines before are archived; import a whole copy to add the rest."
        ) from error


def read_files(
    paths: Sequence[Path], url: str, *, method: str = "GET", fetched_at: datetime | None = None
) -> Iterator[Snapshot]:
    """One snapshot of `url` per file, oldest first; a folder stands for the files in it.

    Without `fetched_at` a file's name before its suffix is its time, for example
    `2014-04-14T115207Z.geojson` or `2025-02-25.xml`. Raises `ImportRefused`.
    """
    try:
        _check_url(url)
    except ValueError as error:
        raise ImportRefused(f"--url: {error}.") from None
    files = [(fetched_at or _time_of(file), file) for file in _files_of(paths)]
    if fetched_at and len(files) != 1:
        raise ImportRefused(
            f"One time was given for {len(files)} files. Import them one by one, or name "
            "each by its time and leave --fetched-at away."
        )
    for at, file in sorted(files):
        try:
            body = file.read_bytes()
        except OSError as error:
            raise ImportRefused(f"{file} cannot be read: {error.strerror}.") from error
        yield Snapshot(url=url, method=method.upper(), fetched_at=at, body=body)


def parse_time(text: str) -> datetime:
    """A time with its zone (ISO 8601) in UTC. Raises `ValueError`."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone; write it with Z or an offset")
    return at.astimezone(UTC)


def _open_log(path: Path) -> IO[bytes]:
    if path.suffix == ".xz":
        return lzma.open(path, "rb")
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return open(path, "rb")


def _snapshot(line: Any) -> Snapshot:
    if not isinstance(line, dict):
        raise ValueError("a JSON object is expected")
    _check_url(line["url"])
    body, request_body = line["body"], line.get("request_body")
    status = line.get("status")
    if not isinstance(body, str):
        raise ValueError("body must be text")
    if not (request_body is None or isinstance(request_body, str)):
        raise ValueError("request_body must be text or null")
    if not (status is None or (type(status) is int and 100 <= status < 600)):
        raise ValueError(f"status must be an HTTP status or null, not {status!r}")
    raw = body.encode()
    if (size := line.get("bytes")) is not None and size != len(raw):
        raise ValueError(f"the body has {len(raw)} bytes, but {size} were recorded")
    if (recorded := line.get("sha256")) is not None and recorded != digest(raw):
        raise ValueError(f"the body's SHA-256 is {digest(raw)}, but {recorded} was recorded")
    return Snapshot(
        url=line["url"],
        method=(line.get("method") or "GET").upper(),
        request_body=None if request_body is None else request_body.encode(),
        status=status,
        fetched_at=parse_time(line["fetched_at"]),
        body=raw,
    )


def _check_url(url: Any) -> None:
    if not isinstance(url, str):
        raise ValueError("url must be text")
    parts = urlsplit(url)
    # Reading `port` raises ValueError for one that is no number.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"{url!r} is not an http or https address")


def _files_of(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (
                file
                for file in sorted(path.iterdir())
                if file.is_file() and not file.name.startswith(".")
            )
        elif path.exists():
            yield path
        else:
            raise ImportRefused(f"{path} does not exist.")


def _time_of(file: Path) -> datetime:
    for form in _NAME_FORMATS:
        try:
            return datetime.strptime(file.stem, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ImportRefused(
        f"The name of {file} is not a time such as 2014-04-14T115207Z or 2025-02-25. "
        "Rename the file, or give its time with --fetched-at."
    )
