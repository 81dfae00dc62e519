"""The key of a request: what makes two of them the same, whoever shows which token."""

from raw_store.payload import request_key

from .redact import Redactor
from .wire.request import Request


def key_of(request: Request, redactor: Redactor, key_headers: frozenset[str]) -> str:
    """The request's key: a renewed token leaves it as it was, see `ingest.redact`.

    `key_headers` are lower-case names of headers that tell requests apart.
    """
    chosen: list[tuple[str, str]] = []
    if key_headers:
        headers = redactor.headers(tuple(request.headers))
        chosen = [(name, value) for name, value in headers if name.lower() in key_headers]
    body = (
        redactor.request_body(request.content, request.header("content-type"), for_key=True)
        if request.content
        else None
    )
    return request_key(request.method, redactor.url(request.url, for_key=True), body, chosen)
