"""Imported exchanges are masked by the rules of live fetches (`ingest.redact`)."""

from dataclasses import replace
from itertools import islice

from django.conf import settings

from raw_store.interchange.arrivals import SCRATCH
from raw_store.payload import Headers, Payload, digest, request_key
from raw_store.spool import Spool

from . import registry
from .receiving.receivers import all_receivers
from .redact import Redactor
from .redaction.rules import NO_RULES, Secrets

_SHOWN = 64 * 1024
"""Bytes of a body by which a token endpoint's answer is known."""


class ImportRedaction:
    """The rules of one feed, for one import; see `raw_store.interchange.redaction`."""

    def __init__(self, feed: str) -> None:
        self._redactor = Redactor(settings.SECRET_KEY, _rules(feed))

    def redact(self, payload: Payload) -> Payload:
        """The payload as it may reach the disk. The answer of a token endpoint has no body."""
        redactor = self._redactor
        masked = replace(
            payload,
            url=redactor.url(payload.url),
            request_headers=redactor.headers(payload.request_headers),
            request_body=redactor.request_body(
                payload.request_body, _content_type(payload.request_headers)
            ),
            reason=redactor.text(payload.reason),
            headers=redactor.headers(payload.headers),
            content_type=redactor.text(payload.content_type),
            content_encoding=redactor.text(payload.content_encoding),
            error=redactor.scrub(payload.error) if payload.error else None,
        )
        return self._with_body(masked, payload)

    def request_key(self, payload: Payload, key_headers: tuple[str, ...]) -> str:
        """The key of a payload's request, the same with another token."""
        redactor, chosen = self._redactor, {name.lower() for name in key_headers}
        return request_key(
            payload.method,
            redactor.url(payload.url, for_key=True),
            redactor.request_body(
                payload.request_body, _content_type(payload.request_headers), for_key=True
            ),
            [
                (name, value)
                for name, value in redactor.headers(payload.request_headers)
                if name.lower() in chosen
            ],
        )

    def _with_body(self, masked: Payload, payload: Payload) -> Payload:
        redactor = self._redactor
        body = payload.body if payload.spooled_body is None else payload.spooled_body
        encoded = (
            payload.encoded_body if payload.spooled_encoded is None else payload.spooled_encoded
        )
        if body is None and encoded is None:
            return masked
        if redactor.is_token_answer(
            _beginning(body),
            status=payload.status,
            url=payload.url,
            request_body=payload.request_body,
        ):
            return _with(replace(masked, encoded_digest=None), None)
        if isinstance(body, Spool):
            kept: bytes | Spool | None = Spool.of(redactor.response_chunks(body.chunks()), SCRATCH)
            is_masked = isinstance(kept, Spool) and kept.digest != body.digest
        else:
            kept = None if body is None else redactor.response_body(body)
            is_masked = kept != body
        if not is_masked:
            return masked
        # No digest of bytes that hold a secret.
        return _with(replace(masked, encoded_digest=None), kept)


def _rules(feed: str) -> Secrets:
    known = {each.name: each.secrets for each in registry.all_extractors()}
    known |= {each.name: each.secrets for each in all_receivers()}
    return known.get(feed, NO_RULES)


def _content_type(headers: Headers) -> str | None:
    return next((value for name, value in headers if name.lower() == "content-type"), None)


def _beginning(body: bytes | Spool | None) -> bytes:
    if isinstance(body, Spool):
        return b"".join(islice(body.chunks(_SHOWN), 1))
    return body or b""


def _with(payload: Payload, body: bytes | Spool | None) -> Payload:
    """The payload with another body, and without the bytes as transferred."""
    spool = body if isinstance(body, Spool) else None
    whole = None if isinstance(body, Spool) else body
    body_digest, size = (spool.digest, spool.size) if spool else (None, None)
    if whole is not None:
        body_digest, size = digest(whole), len(whole)
    return replace(
        payload,
        body=whole,
        spooled_body=spool,
        encoded_body=None,
        spooled_encoded=None,
        body_digest=body_digest,
        body_size=size,
        payload_id=payload.payload_id if body is not None else None,
    )
