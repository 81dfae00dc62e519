"""The archiving transport: beneath the HTTP client, so that no extractor can go around it.

Every attempt, every hop of a redirect, every failure becomes one payload in the archive; what the
extractor then sees is built from what was archived. Secrets are masked before that.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
from asgiref.sync import sync_to_async

from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from raw_store.ids import new_id
from raw_store.models import LatestVersion
from raw_store.payload import Payload, digest, request_key
from raw_store.writer import Writer

from . import decode, pace
from .errors import FetchFailed
from .exchange import Exchange, as_text, exchange
from .redact import MASK, Redactor
from .registry import Extractor
from .response import Response
from .uncancelled import uncancelled

logger = logging.getLogger(__name__)

_LARGE = 256 * 1024
# A whole fetch may take this many times the seconds it may go without a byte.
_DEADLINE_FACTOR = 20
_VALIDATORS = ("if-none-match", "if-modified-since")
_NOT_CONDITIONAL = (*_VALIDATORS, "if-match", "if-unmodified-since", "if-range", "range")
# They describe the bytes as transferred, which the extractor does not see.
_OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class ArchivingTransport(httpx.AsyncBaseTransport):
    """Sends requests through `inner` at the hosts' pace and archives what comes back.

    A GET of a request the archive has a version of is made conditional; a 304 is archived, and
    the response is the archived version's.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        extractor: Extractor,
        run_id: UUID,
        archive: Archive,
        writer: Writer,
        redactor: Redactor,
        paces: pace.Paces,
        patience: pace.Patience,
        on_archived: Callable[[Payload], None] | None = None,
    ) -> None:
        self._inner = inner
        self._extractor = extractor
        self._run_id = run_id
        self._archive = archive
        self._writer = writer
        self._redactor = redactor
        self._paces = paces
        self._patience = patience
        self._on_archived = on_archived
        self._sequence = itertools.count()
        self._hosts: set[str] = set()

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Archive one exchange and return its response; a failed one raises after archiving."""
        await request.aread()
        key = self._key(request)
        known = await self._known(request, key)
        if known is None:
            return await self._fetch(request, key)
        response = await self._fetch(_conditional(request, known), key)
        if response.status_code != 304:
            return response
        archived = await self._archived(request, response)
        return archived or await self._fetch(request, key)

    async def _fetch(self, request: httpx.Request, key: str) -> Response:
        host = await self._pace(request.url)
        async with host.slot(self._patience.ceiling):
            sequence = next(self._sequence)
            found = await exchange(
                self._inner,
                request,
                limit=self._extractor.max_body,
                deadline=self._extractor.timeout * _DEADLINE_FACTOR,
            )
        # Decoding a large body takes long enough for other fetches to notice.
        payload, body = (
            await uncancelled(asyncio.to_thread(self._payload, request, key, sequence, found))
            if len(found.encoded) > _LARGE
            else self._payload(request, key, sequence, found)
        )
        row = await uncancelled(self._writer.append(payload))
        await self._tell(host, request, found, payload.attempt)
        if self._on_archived:
            self._on_archived(row)
        if found.exception:
            raise found.exception
        if payload.error:
            raise FetchFailed(
                f"{payload.method} {payload.url} gave a body that is not whole: {payload.error}. "
                f"`manage.py archive show {payload.fetch_id}` shows what was kept."
            )
        return _view(request, found.status or 0, found.headers, body, row, reason=found.reason)

    def _payload(
        self, request: httpx.Request, key: str, sequence: int, found: Exchange
    ) -> tuple[Payload, bytes]:
        """The payload as it may reach the disk, and the body as the extractor may see it."""
        encoded = bytes(found.encoded)
        content_type, coding = found.header("content-type"), found.header("content-encoding")
        decoded = decode.decode(encoded, coding, self._extractor.max_body)
        truncated, error = found.truncated, found.error
        if decoded.is_too_long:
            truncated = "length"
        if truncated == "length":
            error = f"length: the body is longer than {self._extractor.max_body} bytes (max_body=)"
        elif decoded.error and not truncated:
            error = f"decode: {decoded.error}"
        is_coded = bool(decode.codings(coding)) and bool(encoded)
        body = self._redactor.response_body(decoded.body, content_type)
        is_masked = body != decoded.body
        has_body = found.status not in (None, 304) and not (decoded.error and not decoded.body)
        keep_encoded = is_coded and (
            self._extractor.feed.keep_encoded or bool(error) or bool(truncated)
        )
        has_encoded = found.status is not None and not is_masked
        payload = Payload(
            fetch_id=new_id(found.fetched_at),
            run_id=self._run_id,
            sequence=sequence,
            feed=self._extractor.name,
            attempt=request.extensions.get("attempt", 1),
            method=request.method,
            url=self._redactor.url(str(request.url)),
            request_headers=self._redactor.headers(as_text(request.headers.raw)),
            request_body=self._redactor.request_body(
                request.content, request.headers.get("content-type")
            )
            or None,
            request_key=key,
            status=found.status,
            reason=found.reason,
            http_version=found.http_version,
            headers=self._redactor.headers(found.headers),
            fetched_at=found.fetched_at,
            elapsed_ms=found.elapsed_ms,
            content_type=content_type,
            content_encoding=coding,
            body=body if has_body else None,
            body_digest=digest(body) if has_body else None,
            body_size=len(body) if has_body else None,
            encoded_digest=digest(encoded) if has_encoded else None,
            encoded_size=len(encoded) if has_encoded else None,
            encoded_body=encoded if keep_encoded and not is_masked else None,
            truncated=truncated,
            error=self._redactor.scrub(error) if error else None,
        )
        return payload, decoded.body

    def _key(self, request: httpx.Request) -> str:
        """The request's key: a renewed token leaves it as it was, see `ingest.redact`."""
        chosen = {name.lower() for name in self._extractor.feed.key_headers}
        headers = self._redactor.headers(as_text(request.headers.raw))
        return request_key(
            request.method,
            self._redactor.url(str(request.url), for_key=True),
            self._redactor.request_body(
                request.content, request.headers.get("content-type"), for_key=True
            ),
            [(name, value) for name, value in headers if name.lower() in chosen],
        )

    async def _known(self, request: httpx.Request, key: str) -> LatestVersion | None:
        """The archived version whose validators a GET should carry."""
        if request.method != "GET" or any(name in request.headers for name in _NOT_CONDITIONAL):
            return None
        latest = await LatestVersion.objects.filter(
            feed=self._extractor.name, request_key=key
        ).afirst()
        return latest if latest and (latest.etag or latest.last_modified) else None

    async def _archived(self, request: httpx.Request, response: Response) -> Response | None:
        """The version a 304 confirms, or None when the archive cannot give it back."""
        row = response.payload
        if row.payload_id is None:
            return None
        try:
            holder = await sync_to_async(self._archive.read)(row.payload_id)
        except ArchiveError as error:
            logger.warning("version unreadable, fetching it again url=%s: %s", row.url, error)
            return None
        headers = tuple(
            (name, value) for name, value in holder.headers if name.lower() != "set-cookie"
        )
        # An address with a masked token would lead the extractor nowhere.
        if holder.body is None or any(f"{MASK}-" in value for _, value in headers):
            return None
        confirmed = replace(row, body=holder.body, body_size=holder.body_size)
        fresh = {name.lower() for name, _ in as_text(response.headers.raw)}
        headers = tuple(pair for pair in headers if pair[0].lower() not in fresh)
        return _view(
            request,
            holder.status or 200,
            (*as_text(response.headers.raw), *headers),
            holder.body,
            confirmed,
            reason=holder.reason,
        )

    async def _pace(self, url: httpx.URL) -> pace.HostPace:
        host = url.netloc.decode("ascii").lower()
        # Each run asks once what an earlier run, or another process, promised the host.
        is_first = host not in self._hosts
        self._hosts.add(host)
        return await self._paces.of(host, refresh=is_first)

    async def _tell(
        self, host: pace.HostPace, request: httpx.Request, found: Exchange, attempt: int
    ) -> None:
        if isinstance(found.exception, asyncio.CancelledError):
            return
        headers = {name.lower(): value for name, value in reversed(found.headers)}
        if pause := host.note(found.status, headers, attempt, self._patience):
            logger.info(
                "host parked host=%s seconds=%.1f status=%s", host.host, pause, found.status
            )
            await self._paces.remember(host, f"{request.method} answered {found.status}")


def _conditional(request: httpx.Request, known: LatestVersion) -> httpx.Request:
    """The request with validators. A copy: a redirect must not inherit them."""
    headers = httpx.Headers(request.headers.raw)
    if known.etag:
        headers["If-None-Match"] = known.etag
    if known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    return httpx.Request(
        request.method,
        request.url,
        headers=headers,
        content=request.content,
        extensions=request.extensions,
    )


def _view(
    request: httpx.Request,
    status: int,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    payload: Payload,
    *,
    reason: str | None,
) -> Response:
    extensions: dict[str, Any] = {"payload": payload}
    if payload.http_version:
        extensions["http_version"] = payload.http_version.encode("latin-1")
    if reason is not None:
        extensions["reason_phrase"] = reason.encode("latin-1")
    return Response(
        status_code=status,
        headers=[
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in headers
            if name.lower() not in _OF_THE_TRANSFER
        ],
        content=body,
        request=request,
        extensions=extensions,
    )
