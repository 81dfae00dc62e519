"""HAR files (HTTP Archive 1.2), as browsers and proxies save them: each entry becomes a row.

A HAR holds bodies decoded, and text as Unicode: what the charset of the content type makes of it is
what was received, as far as the HAR says so. What it leaves out stays null.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from ..archive import Archive
from ..errors import ImportRefused, PayloadInvalid
from ..feeds import Feed
from ..ids import derived_id
from ..payload import Headers
from ..progress import Progress
from .arrivals import Arrivals, Arrived, Recorded
from .http import header
from .redaction import Redaction

LARGEST_FILE = 512 * 1024 * 1024
"""Bytes. A HAR is one JSON document, which is read whole."""

_ADDRESS = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)
_VERSIONS = {"H2": "HTTP/2", "HTTP/2.0": "HTTP/2", "H3": "HTTP/3", "HTTP/3.0": "HTTP/3"}
_WITHOUT_BODY = frozenset({204, 205, 304})
_SHORTEST_FRACTION = re.compile(r"(\.\d{6})\d+")


def import_har(
    archive: Archive,
    feed: Feed,
    paths: Iterable[Path],
    redaction: Redaction,
    progress: Progress | None = None,
) -> Arrived:
    """Archive the entries of HAR files that are not archived yet; each file is one run.

    Raises `ImportRefused` for a file that is no HAR. An entry that is none is named among the
    problems; its neighbours are archived.
    """
    arrivals = Arrivals(archive, feed, redaction)
    try:
        for path in paths:
            _take_file(path, arrivals, progress)
    finally:
        arrivals.seal()
    return arrivals.arrived


def _take_file(path: Path, arrivals: Arrivals, progress: Progress | None) -> None:
    entries = _entries(path)
    problems = len(arrivals.arrived.problems)
    same: Counter[tuple[str, ...]] = Counter()
    run = None
    for number, entry in enumerate(entries):
        if progress:
            progress.advance()
        try:
            recorded = _recorded(entry)
            if recorded is None:
                arrivals.arrived.passed_over["entries of other schemes"] += 1
                continue
            # Only their order tells apart two entries of one moment, address and body.
            identity = (recorded.method, recorded.url, recorded.fetched_at.isoformat())
            recorded = replace(recorded, id_parts=(recorded.method, str(same[identity])))
            same[identity] += 1
            if run is None:
                run = derived_id(recorded.fetched_at, "run", arrivals.feed.name, *identity[:2])
            arrivals.add(recorded, run)
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            PayloadInvalid,
        ) as error:
            reason = f"{error.args[0]} is missing" if type(error) is KeyError else error
            arrivals.arrived.problems.append(
                f"{path}, entry {number}: {reason}; it is not archived."
            )
    if run is not None and len(arrivals.arrived.problems) == problems:
        arrivals.end_run(run)


def _entries(path: Path) -> list[Any]:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise ImportRefused(
                f"{path} has {size:,} bytes; a HAR is read whole, up to {LARGEST_FILE:,}. Save it "
                "in parts, or as WARC."
            )
        document = orjson.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        entries = document["log"]["entries"]
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read: {error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{error.args[0]} is missing" if type(error) is KeyError else error
        raise ImportRefused(
            f"{path} is no HAR file, a JSON object with log.entries: {reason}. "
            "Nothing of it is archived."
        ) from None
    if not isinstance(entries, list):
        raise ImportRefused(f"{path} is no HAR file: log.entries is no list.")
    return entries


def _recorded(entry: Any) -> Recorded | None:
    """An entry as an exchange; None if it went over no HTTP. Raises what reading it raises."""
    request, response = entry["request"], entry["response"]
    url = _text(request["url"])
    if not _ADDRESS.match(url):
        if re.match(r"[a-z][a-z0-9+.-]*:", url, re.IGNORECASE):
            return None
        raise ValueError(f"{url[:80]!r} is no address")
    base = Recorded(
        id_parts=(),
        url=url,
        method=_text(request["method"]),
        request_headers=_headers(request.get("headers")),
        request_body=_request_body(request.get("postData")),
        fetched_at=_time(entry["startedDateTime"]),
        elapsed_ms=_milliseconds(entry.get("time")),
        is_decoded=True,
    )
    status = response["status"]
    if type(status) is not int or not 0 <= status < 1000:
        raise ValueError(f"{status!r} is no status")
    if status == 0:
        why = response.get("_error") or response.get("statusText") or "the HAR holds no response"
        return replace(base, error=f"unrecorded: {why}")
    found = replace(
        base,
        status=status,
        reason=_optional(response.get("statusText")),
        http_version=_version(response.get("httpVersion")),
        headers=_headers(response.get("headers")),
    )
    return _with_body(found, response)


def _with_body(found: Recorded, response: Any) -> Recorded:
    content = response.get("content") or {}
    headers = found.headers
    media_type = header(headers, "content-type") or _optional(content.get("mimeType"))
    found = replace(found, content_type=media_type or None)
    text, size = content.get("text"), content.get("size")
    if text is not None:
        if content.get("encoding") == "base64":
            return replace(found, content=_base64(text))
        return replace(found, content=_bytes(_text(text), media_type, size))
    status = found.status or 0
    is_empty = status in _WITHOUT_BODY or found.method == "HEAD" or size == 0
    if is_empty or (300 <= status < 400 and not (isinstance(size, int) and size > 0)):
        return replace(found, content=b"")
    said = f" of {size} bytes" if isinstance(size, int) and size > 0 else ""
    return replace(found, error=f"unrecorded: the HAR leaves out the body{said}")


def _bytes(text: str, media_type: str | None, size: Any) -> bytes:
    """Text as the bytes it was decoded from: in its charset if that can be, else UTF-8.

    Where the HAR gives the size, it decides between the two.
    """
    plain = text.encode("utf-8", "surrogatepass")
    match = _CHARSET.search(media_type or "")
    if match is None:
        return plain
    try:
        declared = text.encode(match[1])
    except (LookupError, UnicodeEncodeError):
        return plain
    return plain if len(plain) == size != len(declared) else declared


def _request_body(post: Any) -> bytes | None:
    if not post:
        return None
    if post.get("text"):
        if post.get("encoding") == "base64":
            return _base64(post["text"])
        return _text(post["text"]).encode("utf-8", "surrogatepass")
    pairs = [
        (_text(each["name"]), _text(each.get("value") or "")) for each in post.get("params") or ()
    ]
    return urlencode(pairs).encode() or None


def _base64(text: Any) -> bytes:
    try:
        return base64.b64decode(_text(text), validate=True)
    except binascii.Error as error:
        raise ValueError(f"a body is not base64 ({error})") from None


def _headers(pairs: Any) -> Headers:
    # Some browsers put headers of one name into one value, a line each.
    return tuple(
        (_text(each["name"]), value)
        for each in pairs or ()
        for value in _text(each["value"]).split("\n")
    )


def _time(said: Any) -> datetime:
    """A moment as ISO 8601, which must have a time zone; of nanoseconds the microseconds."""
    at = datetime.fromisoformat(_SHORTEST_FRACTION.sub(r"\1", _text(said)))
    if at.tzinfo is None:
        raise ValueError(f"startedDateTime {said!r} has no zone")
    return at


def _milliseconds(said: Any) -> int | None:
    is_known = isinstance(said, int | float) and 0 <= said < 1 << 53
    return round(said) if is_known else None


def _version(said: Any) -> str | None:
    version = (_optional(said) or "").upper()
    known = _VERSIONS.get(version, version)
    return known if known.startswith("HTTP/") else None


def _optional(said: Any) -> str | None:
    return None if said is None else _text(said)


def _text(said: Any) -> str:
    if not isinstance(said, str):
        raise TypeError(f"text is expected, not {said!r:.60}")
    return said
