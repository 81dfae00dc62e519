"""A dry run: what an extractor would ask for, told and not sent; nothing is written anywhere.

Answers come from a cassette or from the archive where one is given. Without one an extractor gets
as far as its first answer matters.
"""

import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings

from raw_store.ids import new_id
from raw_store.payload import Payload, digest

from . import registry
from .answers import Answer, Answers
from .client import Client
from .errors import RequestUnanswered
from .frontier.links import page_links
from .frontier.plan import Visited
from .frontier.scope import Scope, absolute
from .pace import Patience
from .redact import Redactor
from .registry import Extractor
from .request_keys import key_of
from .response import Response
from .shards import Shard
from .wire.request import Request

if TYPE_CHECKING:
    from .transport import ArchivingTransport

MOST = 1_000
"""Requests after which a dry run ends, unless told otherwise."""


@dataclass(slots=True, kw_only=True)
class Told:
    """One request of a dry run."""

    method: str
    url: str
    """Without secrets."""
    body_size: int
    status: int | None
    """Of the answer that was at hand; None where there was none."""


@dataclass(slots=True, kw_only=True)
class DryRun:
    """What came of a dry run."""

    requests: list[Told]
    payloads: list[Payload]
    """As they would be archived: what the answers at hand say."""
    stopped_by: str | None = None
    """Why it did not come to the extractor's end; None when it did."""


async def dry_run(
    feed: str,
    answers: Answers,
    *,
    on_request: Callable[[Told], None] = lambda told: None,
    most: int = MOST,
    watermarks: dict[str, Any] | None = None,
) -> DryRun:
    """Run a feed's extractor without the network. It asks nobody for tokens and signs in nowhere.

    Without `watermarks` it starts where a feed that was never fetched does. Raises what the
    extractor raises of its own accord.
    """
    extractor = registry.get(feed)
    redactor = Redactor(settings.SECRET_KEY, extractor.secrets)
    transport = _DryTransport(extractor, redactor, answers, on_request, most)
    client = _DryClient(
        cast("ArchivingTransport", transport),
        redactor=redactor,
        patience=Patience(attempts=4, base=0.0),
        watermarks=watermarks or {},
        advance=lambda partition, value: None,
        shard=Shard.parse(settings.SHARD) if extractor.is_spread else None,
    )
    done = DryRun(requests=transport.requests, payloads=transport.payloads)
    try:
        await extractor.function(client)
    except BaseExceptionGroup as group:
        matching, others = group.split(RequestUnanswered)
        if others is not None or matching is None:
            raise
        done.stopped_by = str(_first(matching))
    except RequestUnanswered as error:
        done.stopped_by = str(error)
    finally:
        await client.__aexit__()
    return done


async def watermarks_of(feed: str) -> dict[str, Any]:
    """The watermarks that the feed's next run would see."""
    from .models import Watermark

    rows = Watermark.objects.filter(feed=feed).values_list("partition", "value")
    return await sync_to_async(lambda: dict(rows))()


class _DryTransport:
    """In place of the archiving transport: tells requests, and answers with what is at hand."""

    def __init__(
        self,
        extractor: Extractor,
        redactor: Redactor,
        answers: Answers,
        on_request: Callable[[Told], None],
        most: int,
    ) -> None:
        self._extractor, self._redactor = extractor, redactor
        self._answers, self._on_request, self._most = answers, on_request, most
        self._key_headers = frozenset(name.lower() for name in extractor.feed.key_headers)
        self._sequence = itertools.count()
        self._run_id = new_id(datetime.now(UTC))
        self.requests: list[Told] = []
        self.payloads: list[Payload] = []

    async def aclose(self) -> None:
        pass

    async def fetch(self, request: Request) -> Response:
        if len(self.requests) >= self._most:
            raise RequestUnanswered(f"It ends after {self._most:,} requests.")
        answer = await self._answers.to(request)
        told = Told(
            method=request.method,
            url=self._redactor.url(request.url),
            body_size=len(request.content),
            status=None if answer is None else answer.status,
        )
        self.requests.append(told)
        self._on_request(told)
        if answer is None:
            raise RequestUnanswered(
                f"What is asked next depends on the answer to {told.method} {told.url}, and there "
                "is none at hand."
            )
        payload = self._payload(request, answer)
        self.payloads.append(payload)
        return Response(
            answer.status,
            pairs=answer.headers,
            body=answer.body,
            request=request,
            payload=payload,
            reason=answer.reason,
        )

    def _payload(self, request: Request, answer: Answer) -> Payload:
        now = datetime.now(UTC)
        headers = self._redactor.headers(answer.headers)
        kind = next((value for name, value in headers if name.lower() == "content-type"), None)
        fetch_id = new_id(now)
        return Payload(
            fetch_id=fetch_id,
            run_id=self._run_id,
            sequence=next(self._sequence),
            feed=self._extractor.name,
            attempt=request.attempt,
            method=request.method,
            url=self._redactor.url(request.url),
            request_key=key_of(request, self._redactor, self._key_headers),
            status=answer.status,
            reason=answer.reason,
            headers=headers,
            fetched_at=now,
            content_type=kind,
            body=answer.body,
            body_digest=digest(answer.body),
            body_size=len(answer.body),
            payload_id=fetch_id,
        )


class _DryClient(Client):
    """A client whose requests may go unanswered: what does not depend on answers goes on."""

    async def map(self, urls: Iterable[str], *, concurrency: int = 4) -> AsyncIterator[Response]:
        unanswered: RequestUnanswered | None = None
        for url in urls:
            try:
                response = await self.get(url)
            except RequestUnanswered as error:
                unanswered = unanswered or error
            else:
                if unanswered is None:
                    yield response
        if unanswered is not None:
            raise unanswered

    async def crawl(self, start: str | Iterable[str], **options: Any) -> AsyncIterator[Visited]:
        """The pages that answers at hand lead to; sitemaps are left out."""
        starts = [start] if isinstance(start, str) else list(start)
        judged = {each: options[each] for each in ("within", "allow", "deny") if each in options}
        scope = Scope.of(starts, depth=options.get("depth"), **judged)
        find = options.get("links", page_links)
        waiting, seen = deque((url, 0) for url in starts), set(starts)
        unanswered: RequestUnanswered | None = None
        while waiting:
            url, depth = waiting.popleft()
            try:
                response = await self.get(url)
            except RequestUnanswered as error:
                unanswered = unanswered or error
                continue
            if not response.is_success:
                continue
            page = Visited(url, depth, response)
            yield page
            links = [link for link, _ in page.followed] + list(find(response) if find else ())
            for link in links:
                found = absolute(response.url, link)
                if found and found not in seen and scope.holds(found, depth + 1):
                    seen.add(found)
                    waiting.append((found, depth + 1))
        if unanswered is not None:
            raise unanswered


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
