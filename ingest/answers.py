"""Answers without the network: from a cassette, or from what the archive has."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Protocol

from asgiref.sync import sync_to_async
from django.conf import settings

from raw_store.archive import Archive
from raw_store.errors import closest_first
from raw_store.interchange import cassette
from raw_store.payload import Headers, canonical_url

from .errors import RequestUnknown
from .redact import MASK, Redactor
from .redaction.rules import NO_RULES, Secrets
from .request_keys import key_of
from .wire.request import Request

_MASKS = re.compile(rf"{MASK}-[0-9a-f]{{16}}")
_TOKEN = b'{"access_token": "token-of-the-cassette", "token_type": "Bearer"}'


class Answer:
    """What is answered to one request."""

    __slots__ = ("body", "headers", "reason", "status")

    def __init__(self, status: int, reason: str | None, headers: Headers, body: bytes) -> None:
        self.status, self.reason, self.headers, self.body = status, reason, headers, body


class Answers(Protocol):
    """Who answers."""

    async def to(self, request: Request) -> Answer | None:
        """The answer to a request; None where there is none, if that is to be borne."""
        ...


class NoAnswers:
    """Nobody answers."""

    async def to(self, request: Request) -> Answer | None:
        return None


class CassetteAnswers:
    """The exchanges of a cassette. Those of one request are given in turn; the last one stays.

    Requests are compared as they are archived, and secrets as if they were all the same: who plays
    a cassette has others, and another key to mask them.
    """

    def __init__(self, path: Path, secrets: Secrets = NO_RULES) -> None:
        """Raises `raw_store.errors.CassetteInvalid`."""
        self.path = path
        self.feed, exchanges = cassette.read(path)
        self._redactor = Redactor(settings.SECRET_KEY, secrets)
        self._known: dict[tuple[str, str, bytes], list[cassette.Exchange]] = defaultdict(list)
        for each in exchanges:
            self._known[_comparable(each.method, each.url, each.request_body)].append(each)

    async def to(self, request: Request) -> Answer:
        """Raises `RequestUnknown`, naming the most similar requests that are known."""
        url = self._redactor.url(request.url)
        body = self._redactor.request_body(request.content, request.header("content-type"))
        known = self._known.get(_comparable(request.method, url, body))
        if known is None:
            raise self._unknown(request.method, url, bool(body))
        found = known.pop(0) if len(known) > 1 else known[0]
        # The answers of token endpoints are archived without their bodies.
        answer = _TOKEN if found.body is None else found.body
        return Answer(found.status, found.reason, found.headers, answer)

    def _unknown(self, method: str, url: str, has_body: bool) -> RequestUnknown:
        near = closest_first(url, {address for _, address, _ in self._known})[:3]
        asked = f"{method} {url}{' with this body' if has_body else ''}"
        return RequestUnknown(
            f"{asked} is not in the cassette {self.path}. The closest of its "
            f"{len(self._known)} requests: {', '.join(near) or 'none'}. Where the extractor is "
            f"right, record it anew: `manage.py archive export-cassette {self.feed} {self.path}`."
        )


class ArchiveAnswers:
    """The newest version of each request that the archive has of a feed."""

    def __init__(
        self, archive: Archive, feed: str, secrets: Secrets, key_headers: frozenset[str]
    ) -> None:
        self._archive, self._feed, self._key_headers = archive, feed, key_headers
        self._redactor = Redactor(settings.SECRET_KEY, secrets)

    async def to(self, request: Request) -> Answer | None:
        return await sync_to_async(self._find)(key_of(request, self._redactor, self._key_headers))

    def _find(self, key: str) -> Answer | None:
        latest = self._archive.latest("", key=key, feed=self._feed)
        if latest is None:
            return None
        payload = self._archive.read(latest.fetch_id)
        if payload.status == 304 and payload.payload_id:
            payload = self._archive.read(payload.payload_id)
        return Answer(payload.status or 200, payload.reason, payload.headers, payload.body or b"")


def _comparable(method: str, url: str, body: bytes | None) -> tuple[str, str, bytes]:
    text = (body or b"").decode("latin-1")
    plain = _MASKS.sub(MASK, text).encode("latin-1")
    return method.upper(), canonical_url(_MASKS.sub(MASK, url)), plain
