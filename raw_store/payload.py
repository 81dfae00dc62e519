"""A payload: one HTTP response exactly as it was received, with its request.

One payload is one row of the archive, and what a transform is given. The
columns are described in `docs/archive-format.md`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit
from uuid import UUID

from .errors import BodyUnreadable
from .spool import Spool

if TYPE_CHECKING:
    # Parsers are imported by the method that needs them: a scan loads none.
    from .parsing.charsets import Decoded

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Payload:
    """One fetch: the request, and the response or the error it ended in."""

    fetch_id: UUID
    """UUIDv7; its time is that of `fetched_at`."""
    run_id: UUID
    sequence: int
    """Position within the run."""
    feed: str
    """Written `source.feed`."""
    attempt: int = 1
    method: str = "GET"
    url: str
    request_headers: Headers = ()
    request_body: bytes | None = None
    request_key: str
    """Digest of what makes two requests the same; see `request_key()`."""
    status: int | None
    """Null when no response came, or when an import did not record it."""
    reason: str | None = None
    http_version: str | None = None
    headers: Headers = ()
    """In order, with their case and duplicates; latin-1, hence lossless."""
    fetched_at: datetime
    elapsed_ms: int | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    body: bytes | None = None
    """After transfer and content decoding. Null for a revisit and where no response came."""
    body_digest: str | None = None
    """SHA-256, hex. A 304 carries the digest of the body it confirms."""
    body_size: int | None = None
    """Bytes."""
    encoded_digest: str | None = None
    encoded_size: int | None = None
    encoded_body: bytes | None = None
    payload_id: UUID | None = None
    """The fetch that holds the body: this one, or for a revisit an earlier one."""
    truncated: str | None = None
    """WARC's reason tokens: length, time, disconnect, unspecified."""
    error: str | None = None
    """A reason token and its message, when the fetch failed."""
    spooled_body: Spool | None = field(default=None, compare=False, repr=False)
    """The body where it is too large for memory; `body` is null then. No column."""
    spooled_encoded: Spool | None = field(default=None, compare=False, repr=False)

    def __eq__(self, other: object) -> bool:
        """Whether every field is equal; one read from the archive equals one made by hand."""
        if not isinstance(other, Payload):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    def __hash__(self) -> int:
        return hash(self.fetch_id)

    @property
    def source(self) -> str:
        return self.feed.partition(".")[0]

    @property
    def is_revisit(self) -> bool:
        return self.payload_id is not None and self.payload_id != self.fetch_id

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        lowered = name.lower()
        return next((value for key, value in self.headers if key.lower() == lowered), None)

    def json(self, as_: Any = None) -> Any:
        """The body as JSON; with `as_`, a Pydantic model or type, validated as that.

        Raises `BodyUnreadable` naming line and column when it is not JSON, and `BodyInvalid`
        naming the field when it does not fit `as_`.
        """
        from .parsing.json_body import parse

        return parse(self._body(), self.content_type, as_)

    def json_lines(self, as_: Any = None) -> Iterator[Any]:
        """The JSON value of each line that is not blank; `as_` is for each."""
        from .parsing.json_body import parse_lines

        return parse_lines(self._body(), self.content_type, as_)

    def jsonp(self, as_: Any = None) -> Any:
        """The JSON inside `callback(…)` or behind a guard such as `)]}'`; plain JSON as well."""
        from .parsing.json_body import parse_jsonp

        return parse_jsonp(self._body(), self.content_type, as_)

    def html(self) -> Any:
        """The body as HTML, a `selectolax` tree: `payload.html().css("table.items tr")`."""
        from .parsing.html_body import parse

        return parse(self.text)

    def xml(self) -> Any:
        """The body's root element (`lxml`). No external entity is read, no address is opened."""
        from .parsing.xml_body import parse

        return parse(self._body(), self.content_type)

    def csv(
        self,
        *,
        delimiter: str | None = None,
        quote: str = '"',
        columns: Sequence[str] | None = None,
        ragged: bool = False,
        as_: Any = None,
    ) -> Iterator[Any]:
        """The body's rows, each a dict of column → text; see `raw_store/parsing/csv_body.py`."""
        from .parsing.csv_body import parse

        return parse(
            self.text, delimiter=delimiter, quote=quote, columns=columns, ragged=ragged, as_=as_
        )

    @property
    def text(self) -> str:
        """The body as text in its `charset`; bytes that do not fit are U+FFFD."""
        return self._decoded.text

    @property
    def charset(self) -> str:
        """The charset that `text` is read in: byte order mark, header, the body's own
        declaration, UTF-8; see `raw_store/parsing/charsets.py`."""
        return self._decoded.charset

    def with_charset(self, label: str) -> "Payload":
        """This payload as if its header named this charset, for a publisher who names a wrong
        one. Raises `BodyUnreadable` when nobody knows the label."""
        from .parsing.charsets import relabelled

        return replace(self, content_type=relabelled(self.content_type, label))

    @cached_property
    def _decoded(self) -> "Decoded":
        from .parsing.charsets import decode

        return decode(self._body(), self.content_type)

    @property
    def has_body(self) -> bool:
        """Whether it brings its body along, in memory or spooled."""
        return self.body is not None or self.spooled_body is not None

    def _body(self) -> bytes:
        if self.spooled_body is not None:
            return self.spooled_body.read()
        if self.body is None:
            raise BodyUnreadable(f"Fetch {self.fetch_id} has no body of its own.")
        return self.body

    def with_body_of(self, holder: Self) -> "Payload":
        """This fetch with the body that an earlier fetch holds."""
        return replace(self, body=holder.body, body_size=holder.body_size)


_COMPARED = [each.name for each in fields(Payload) if each.compare]


def digest(body: bytes) -> str:
    """SHA-256, as 64 hex digits."""
    return hashlib.sha256(body).hexdigest()


# An address of which nothing needs to be changed, which most are.
_CANONICAL = re.compile(
    r"https?://[a-z0-9.-]+(?::(?!80/|443/)(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}))?/[!-\"$->@-~]*"
)


def canonical_url(url: str) -> str:
    """The URL with lower-case scheme and host, no default port, no fragment, a sorted query."""
    if _CANONICAL.fullmatch(url):
        return url
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    if parts.port and (parts.scheme.lower(), parts.port) not in {("http", 80), ("https", 443)}:
        host = f"{host}:{parts.port}"
    query = urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)), quote_via=quote)
    return urlunsplit((parts.scheme.lower(), host, parts.path or "/", query, ""))


def request_key(
    method: str, url: str, body: bytes | None = None, headers: Sequence[tuple[str, str]] = ()
) -> str:
    """The digest that two equal requests share: method, canonical URL, body, chosen headers."""
    chosen = "[]"
    if headers:
        chosen = json.dumps(sorted((name.lower(), value) for name, value in headers))
    parts = (method.upper(), canonical_url(url), digest(body) if body else "")
    # One JSON list, put together by hand: an encoder of lists takes three times as long.
    return digest(f"[{', '.join(map(json.dumps, parts))}, {chosen}]".encode())
