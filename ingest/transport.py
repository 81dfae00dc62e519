"""The archiving transport: beneath the HTTP client, so that no extractor can go around it.

Every attempt, every hop of a redirect, every failure becomes one payload in the archive; what the
extractor then sees is built from what was archived. Secrets are masked before that.
"""

import asyncio
import hashlib
import itertools
import logging
from collections.abc import Callable
from uuid import UUID

from asgiref.sync import sync_to_async

from raw_store import decode
from raw_store.archive import Archive
from raw_store.confirmed import ConfirmedVersions
from raw_store.errors import ArchiveError
from raw_store.ids import new_id
from raw_store.large_bodies import spool_folder
from raw_store.pages import LARGEST_BODY
from raw_store.payload import Payload, digest
from raw_store.rows import changed, new_payload
from raw_store.spool import Spool
from raw_store.versions import Latest
from raw_store.writer import Writer

from .errors import FetchFailed
from .intake import failure_of
from .pace import Patience
from .politeness.host import HostPace
from .politeness.paces import Paces
from .redact import Redactor, holds_masks
from .registry import Extractor
from .request_keys import key_of
from .response import Body, Response
from .turns import shared_turns
from .uncancelled import uncancelled
from .wire.client import Wire
from .wire.exchange import Exchange
from .wire.head import Headers
from .wire.request import Request

logger = logging.getLogger(__name__)

_LARGE = 256 * 1024
_NOT_CONDITIONAL = frozenset(
    {
        "if-none-match",
        "if-modified-since",
        "if-match",
        "if-unmodified-since",
        "if-range",
        "range",
    }
)
# What the program itself sends; and who asks, which does not tell two requests apart.
_VARY_ALIKE = frozenset(
    {"accept-encoding", "user-agent", "connection", "host", "authorization", "cookie", "*", ""}
)


class ArchivingTransport:
    """Sends requests over `wire` at the hosts' pace and archives what comes back.

    A GET of a request the archive has a version of is made conditional; a 304 is archived, and
    the response is the archived version's.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        extractor: Extractor,
        run_id: UUID,
        archive: Archive,
        writer: Writer,
        redactor: Redactor,
        paces: Paces,
        patience: Patience,
        on_archived: Callable[[Payload], None] | None = None,
    ) -> None:
        self._wire = wire
        self._extractor = extractor
        self._run_id = run_id
        self._archive = archive
        self._confirmed = ConfirmedVersions(archive, extractor.name)
        self._writer = writer
        self._redactor = redactor
        self._paces = paces
        self._patience = patience
        self._on_archived = on_archived
        self._spool_folder = spool_folder()
        self._limit = min(extractor.max_body, LARGEST_BODY)
        self._sequence = itertools.count()
        self._turns = shared_turns()
        self._key_headers = frozenset(name.lower() for name in extractor.feed.key_headers)

    def into(self, extractor: Extractor, writer: Writer) -> "ArchivingTransport":
        """A transport over the same wire that archives into another feed; it is not closed."""
        return ArchivingTransport(
            self._wire,
            extractor=extractor,
            run_id=self._run_id,
            archive=self._archive,
            writer=writer,
            redactor=self._redactor,
            paces=self._paces,
            patience=self._patience,
        )

    async def aclose(self) -> None:
        await self._wire.aclose()

    async def fetch(self, request: Request) -> Response:
        """Archive one exchange and return its response; a failed one raises after archiving."""
        key = self._key(request)
        known = await self._known(request, key)
        if known is None:
            return await self._fetch(request, key)
        response = await self._fetch(_conditional(request, known), key)
        if response.status_code != 304:
            return response
        archived = await self._archived(request, response)
        return archived or await self._fetch(request, key)

    async def _fetch(self, request: Request, key: str) -> Response:
        host = self._paces.of(
            request.netloc, feed=self._extractor.name, declared=self._extractor.declared
        )
        async with host.slot(self._patience.ceiling) as sent_at:
            sequence = next(self._sequence)
            found = await self._wire.exchange(
                request, limit=self._limit, silence=self._extractor.timeout
            )
        try:
            await self._turns.take()
        except asyncio.CancelledError as error:
            # What came is archived all the same.
            found.exception = found.exception or error
        # Decoding a large body takes long enough for other fetches to notice.
        payload, body = (
            await uncancelled(asyncio.to_thread(self._payload, request, key, sequence, found))
            if found.encoded_size > _LARGE
            else self._payload(request, key, sequence, found)
        )
        row = self._writer.append_at_once(payload)
        if row is None:
            row = await uncancelled(self._writer.append(payload))
        await self._tell(host, request, found, payload.attempt, sent_at)
        if self._on_archived:
            self._on_archived(row)
        if found.exception:
            raise found.exception
        if payload.error and _is_needed(found.status, payload.error):
            raise FetchFailed(
                f"{payload.method} {payload.url} gave a body that could not be "
                f"read whole: {payload.error}. "
                f"`manage.py archive show {payload.fetch_id}` shows what was kept."
            )
        return Response(
            found.status or 0,
            pairs=found.headers,
            body=body,
            request=request,
            payload=row,
            reason=found.reason,
        )

    def _payload(
        self, request: Request, key: str, sequence: int, found: Exchange
    ) -> tuple[Payload, Body]:
        """The payload as it may reach the disk, and the body as the extractor may see it."""
        redactor = self._redactor
        # First: what a request shows is looked for in its answer.
        request_headers = redactor.headers(tuple(request.headers))
        coding, content_type = found.listed("content-encoding"), found.header("content-type")
        decoded, error = self._decoded(found, coding)
        # Withheld: the row says all but the body of an answer that hands out secrets.
        is_withheld = redactor.is_token_answer(
            decoded.body if isinstance(decoded.body, bytes) else b"",
            status=found.status,
            url=request.url,
            request_body=request.content,
        )
        shown = None if is_withheld else self._shown(decoded.body)
        is_masked = is_withheld or shown is not decoded.body
        values: dict[str, object] = {}
        if shown is not None and found.status != 304:
            values |= _of_body(shown)
        if found.encoded is not None:
            values["encoded_size"] = found.encoded_size
            is_coded = found.encoded_size > 0 and bool(decode.codings(coding))
            keeps = self._extractor.feed.keep_encoded or bool(error) or decoded.has_rest
            # No digest of bytes that hold a secret; without one, a row says it was masked.
            if not is_masked:
                values |= _of_encoded(found.encoded, keep=is_coded and keeps)
        payload = new_payload(
            fetch_id=new_id(found.fetched_at),
            run_id=self._run_id,
            sequence=sequence,
            feed=self._extractor.name,
            attempt=request.attempt,
            method=request.method,
            url=redactor.url(request.url),
            request_headers=request_headers,
            request_body=redactor.request_body(request.content, request.header("content-type"))
            or None,
            request_key=key,
            status=found.status,
            reason=redactor.text(found.reason),
            http_version=found.http_version,
            headers=redactor.headers(found.headers),
            fetched_at=found.fetched_at,
            elapsed_ms=found.elapsed_ms,
            content_type=redactor.text(content_type),
            content_encoding=redactor.text(coding),
            truncated=found.truncated,
            error=redactor.scrub(error) if error else None,
            **values,
        )
        return payload, b"" if decoded.body is None else decoded.body

    def _decoded(self, found: Exchange, coding: str | None) -> tuple[decode.Decoded, str | None]:
        """The body decoded, and what is wrong with it: a reason token and a message."""
        if found.encoded is None:
            return decode.Decoded(body=None), found.error
        try:
            decoded = decode.decode(found.encoded, coding, self._limit, spool=self._spool_folder)
        except OSError as error:
            decoded = decode.Decoded(body=None, error=failure_of(error))
        if found.truncated == "length":
            return decoded, f"length: the body is longer than {self._limit} bytes (max_body=)"
        # A body that is cut off does not decode to its end; that it is cut off is said already.
        return decoded, found.error or decoded.error

    def _shown(self, body: Body | None) -> Body | None:
        """The body as it may reach the disk: the very same where nothing in it is masked."""
        if body is None:
            return None
        if isinstance(body, bytes):
            shown = self._redactor.response_body(body)
            return body if shown == body else shown
        found = hashlib.sha256()
        for chunk in self._redactor.response_chunks(body.chunks()):
            found.update(chunk)
        if found.hexdigest() == body.digest:
            return body
        return Spool.of(self._redactor.response_chunks(body.chunks()), spool_folder())

    def _key(self, request: Request) -> str:
        return key_of(request, self._redactor, self._key_headers)

    async def _known(self, request: Request, key: str) -> Latest | None:
        """The archived version whose validators a GET should carry."""
        if request.method != "GET":
            return None
        for name, _ in request.headers:
            if name.lower() in _NOT_CONDITIONAL:
                return None
        is_told, latest = self._writer.latest_at_once(key)
        if not is_told:
            latest = await self._writer.latest(key)
        return latest if latest and (latest.etag or latest.last_modified) else None

    async def _archived(self, request: Request, response: Response) -> Response | None:
        """The version a 304 confirms, or None when the archive cannot give it back."""
        row = response.payload
        if row.payload_id is None:
            return None
        try:
            holder = self._confirmed.at_once(row.payload_id)
            if holder is None:
                holder = await sync_to_async(self._confirmed.read)(row.payload_id)
        except ArchiveError as error:
            logger.warning("version unreadable, fetching it again url=%s: %s", row.url, error)
            return None
        headers = tuple(
            (name, value) for name, value in holder.headers if name.lower() != "set-cookie"
        )
        body = holder.body if holder.spooled_body is None else holder.spooled_body
        # An address with a masked token would lead the extractor nowhere.
        if body is None or _is_masked(holder, headers) or self._is_of_another(holder, request):
            return None
        fresh = {name.lower() for name, _ in response.pairs}
        kept = tuple(pair for pair in headers if pair[0].lower() not in fresh)
        return Response(
            holder.status or 200,
            pairs=(*response.pairs, *kept),
            body=body,
            request=request,
            payload=changed(row, **_of_body(body)),
            reason=holder.reason,
        )

    def _is_of_another(self, holder: Payload, request: Request) -> bool:
        """Whether a version answered a request from which this one differs in a header by which
        the server says that its answers vary (RFC 9111, 4.1): another language, another format."""
        names: set[str] = set()
        for name, value in holder.headers:
            if len(name) == 4 and name.lower() == "vary":
                names.update(each.strip().lower() for each in value.split(","))
        names -= _VARY_ALIKE
        names -= {each for each in names if self._redactor.is_secret_header(each)}
        if not names or not holder.request_headers:
            return False
        asked = self._redactor.headers(tuple(request.headers))
        return _chosen(asked, names) != _chosen(holder.request_headers, names)

    async def _tell(
        self, host: HostPace, request: Request, found: Exchange, attempt: int, sent_at: float
    ) -> None:
        if isinstance(found.exception, asyncio.CancelledError):
            return
        pause, news = host.note(
            found.status, found.headers, attempt=attempt, patience=self._patience, sent_at=sent_at
        )
        if pause:
            logger.info(
                "host parked host=%s seconds=%.1f status=%s", host.host, pause, found.status
            )
        if news is not None:
            await host.keep(news)


def _chosen(headers: Headers, names: set[str]) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers if name.lower() in names)


def _is_needed(status: int | None, error: str) -> bool:
    """Whether an answer is none without its body: that of a 503 or a redirect nobody reads, and a
    proxy that writes it often says that it is encoded as the page would have been."""
    return status is None or status < 300 or error.startswith("disk:")


def _is_masked(holder: Payload, headers: Headers) -> bool:
    """Whether something in an archived response was masked, so that it cannot be used again."""
    if holder.spooled_body is not None:
        return holder.encoded_digest is None or holds_masks(headers, b"")
    return holds_masks(headers, holder.body or b"")


def _of_body(body: Body) -> dict[str, object]:
    """The fields of a payload with this body."""
    if isinstance(body, Spool):
        return {"spooled_body": body, "body_digest": body.digest, "body_size": body.size}
    return {"body": body, "body_digest": digest(body), "body_size": len(body)}


def _of_encoded(encoded: Body, *, keep: bool) -> dict[str, object]:
    """The digest of the body as transferred, and that body where it is to be kept."""
    if isinstance(encoded, Spool):
        kept = {"spooled_encoded": encoded} if keep else {}
        return {"encoded_digest": encoded.digest, **kept}
    return {"encoded_digest": digest(encoded), **({"encoded_body": encoded} if keep else {})}


def _conditional(request: Request, known: Latest) -> Request:
    """The request with validators. A copy: a redirect must not inherit them."""
    validators = {}
    if known.etag:
        validators["if_none_match"] = known.etag
    if known.last_modified:
        validators["if_modified_since"] = known.last_modified
    return request.with_headers(**validators)
