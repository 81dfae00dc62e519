"""From what a sender sent to the payload that is archived."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from raw_store import decode
from raw_store.ids import new_id
from raw_store.payload import Headers, Payload, digest, request_key

from ..errors import PushRefused
from ..redact import Redactor
from .receivers import Receiver
from .signatures import Push

_PLAIN = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A push that was verified, with its body decoded."""

    receiver: Receiver
    url: str
    headers: Headers
    """As sent; names in lower case, as the server gives them."""
    encoded: bytes
    body: bytes
    received_at: datetime


def arrive(receiver: Receiver, push: Push, *, url: str, headers: Headers) -> Arrived:
    """Undo the content coding of a push.

    Raises `PushRefused` for a body that swells beyond what is received, or is not what its coding
    says.
    """
    coding = _all(headers, "content-encoding")
    decoded = decode.decode(push.body, coding, receiver.max_body)
    if decoded.error or not isinstance(decoded.body, bytes):
        error = decoded.error or f"decode: it is not {coding}"
        raise PushRefused(
            f"The body could not be decoded: {error}",
            status=413 if error.startswith("expansion") else 400,
        )
    return Arrived(
        receiver=receiver,
        url=url,
        headers=headers,
        encoded=push.body,
        body=decoded.body,
        received_at=push.received_at,
    )


def payload_of(arrived: Arrived, run_id: UUID, sequence: int, redactor: Redactor) -> Payload:
    """The payload as it may reach the disk: the sender's headers and body, secrets masked.

    Its address is `push://SOURCE/FEED/…`, whatever name the server was reached by. There is no
    status: nobody answered anything.
    """
    feed = arrived.receiver.feed
    masked = redactor.headers(arrived.headers)
    shown = redactor.response_body(arrived.body)
    content_type = next((value for name, value in masked if name == "content-type"), None)
    chosen = {name.lower() for name in feed.key_headers}
    told_apart = [(name, value) for name, value in masked if name in chosen]
    return Payload(
        fetch_id=new_id(arrived.received_at),
        run_id=run_id,
        sequence=sequence,
        feed=feed.name,
        method="POST",
        url=redactor.url(arrived.url),
        request_key=request_key("POST", redactor.url(arrived.url, for_key=True), None, told_apart),
        status=None,
        headers=masked,
        fetched_at=arrived.received_at,
        content_type=content_type,
        content_encoding=_all(masked, "content-encoding"),
        body=shown,
        body_digest=digest(shown),
        body_size=len(shown),
        encoded_size=len(arrived.encoded),
        # No digest of bytes that hold a secret.
        encoded_digest=digest(arrived.encoded) if shown == arrived.body else None,
    )


def push_address(feed: str, below: str, query: str) -> str:
    """`push://SOURCE/FEED/below?query`; what an address may not hold is percent-encoded."""
    source, _, rest = feed.partition(".")
    path = f"/{quote(below, safe=_PLAIN)}" if below else ""
    return f"push://{source}/{rest}{path}" + (
        f"?{quote(query, safe=_PLAIN + '?')}" if query else ""
    )


def as_text(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Header names and values as latin-1 text, which loses nothing."""
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw)


def _all(headers: Headers, name: str) -> str | None:
    found = [value for key, value in headers if key == name]
    return ", ".join(found) if found else None
