"""Cassettes: one run's exchanges as a file that people can read, for the tests of a source.

A cassette is JSON. Bodies are verbatim: as JSON where writing it again gives the very same bytes,
as lines of text, or as base64. It is made of archived payloads, whose secrets are masked.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CassetteInvalid
from ..payload import Headers, Payload

VERSION = 1
_STYLES: dict[str, dict[str, Any]] = {
    "compact": {"separators": (",", ":"), "ensure_ascii": False},
    "spaced": {"ensure_ascii": False},
    "compact, escaped": {"separators": (",", ":")},
    "spaced, escaped": {},
    "indented": {"indent": 2, "ensure_ascii": False},
}
_NOT_KEPT = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what was answered."""

    method: str
    url: str
    request_body: bytes | None
    status: int
    reason: str | None
    headers: Headers
    body: bytes | None
    """None where it was withheld: the answer of a token endpoint."""
    fetched_at: str


def of_payload(payload: Payload, holder: Payload | None) -> Exchange | None:
    """The exchange that a payload tells of; None where no response came.

    `holder` is the payload that holds a revisit's body: a 304 is written as the version that it
    confirms, for who plays a cassette has no earlier version.
    """
    if payload.status is None:
        return None
    shown = holder if payload.status == 304 and holder is not None else payload
    body = holder.body if holder is not None else payload.body
    if body is None and not payload.encoded_size:
        body = b""
    return Exchange(
        method=payload.method,
        url=payload.url,
        request_body=payload.request_body,
        status=shown.status or 200,
        reason=shown.reason,
        # They describe the bytes as transferred, which are not these.
        headers=tuple(pair for pair in shown.headers if pair[0].lower() not in _NOT_KEPT),
        body=body,
        fetched_at=payload.fetched_at.isoformat(),
    )


def written(feed: str, exchanges: Iterable[Exchange]) -> str:
    """A cassette as text."""
    document = {
        "cassette": VERSION,
        "feed": feed,
        "exchanges": [
            {
                "request": {
                    "method": each.method,
                    "url": each.url,
                    **({"body": _shown(each.request_body)} if each.request_body else {}),
                },
                "response": {
                    "status": each.status,
                    "reason": each.reason,
                    "headers": [list(pair) for pair in each.headers],
                    "body": _shown(each.body),
                },
                "fetched_at": each.fetched_at,
            }
            for each in exchanges
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> tuple[str, list[Exchange]]:
    """The feed and the exchanges of a cassette. Raises `CassetteInvalid`."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["cassette"] != VERSION:
            raise ValueError(f"it is of version {document['cassette']}, and {VERSION} is known")
        return document["feed"], [_exchange(each) for each in document["exchanges"]]
    except OSError as error:
        raise CassetteInvalid(
            f"Cassette {path} cannot be read: {error.strerror}. "
            f"`manage.py archive export-cassette FEED {path}` makes one."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise CassetteInvalid(
            f"Cassette {path} is not one: {said}. "
            f"`manage.py archive export-cassette FEED {path}` makes one."
        ) from None


def _exchange(said: dict[str, Any]) -> Exchange:
    request, response = said["request"], said["response"]
    return Exchange(
        method=request["method"],
        url=request["url"],
        request_body=_bytes(request.get("body")),
        status=response["status"],
        reason=response.get("reason"),
        headers=tuple((name, value) for name, value in response.get("headers", ())),
        body=_bytes(response["body"]),
        fetched_at=said["fetched_at"],
    )


def _shown(body: bytes | None) -> Any:
    if body is None:
        return None
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode("ascii")}
    if text[:1] in "[{" and text:
        try:
            value = json.loads(text)
            for style, options in _STYLES.items():
                if json.dumps(value, **options) == text:
                    # Half of an emoji, escaped, cannot be written as a character.
                    json.dumps(value, ensure_ascii=False).encode()
                    return {"json": value, "style": style}
        except (ValueError, RecursionError):
            pass  # It is text, then.
    return {"text": text.splitlines(keepends=True)}


def _bytes(said: Any) -> bytes | None:
    if said is None:
        return None
    if "json" in said:
        return json.dumps(said["json"], **_STYLES[said["style"]]).encode()
    if "text" in said:
        return "".join(said["text"]).encode()
    return base64.b64decode(said["base64"], validate=True)
