"""What tests of a source may use: its extractor played against a cassette, without a network.

payloads = extracted("shop.orders", Path(__file__).parent / "orders.json")
"""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from raw_store.payload import Payload

from . import registry
from .answers import CassetteAnswers
from .dry_run import dry_run
from .wire.request import build


def extracted(
    feed: str, cassette: Path, *, watermarks: dict[str, Any] | None = None
) -> list[Payload]:
    """The payloads that a feed's extractor would archive, answered by a cassette; no database.

    Raises `RequestUnknown` for a request that is not in it, and whatever the extractor raises.
    """
    answers = CassetteAnswers(cassette, registry.get(feed).secrets)
    return asyncio.run(dry_run(feed, answers, watermarks=watermarks, most=1_000_000)).payloads


class CassetteTransport(httpx.AsyncBaseTransport):
    """A cassette as the network of a whole run: `run_feed(feed, archive, inner=…)`.

    A request that is not in it fails the run with its name.
    """

    def __init__(self, feed: str, cassette: Path) -> None:
        self._answers = CassetteAnswers(cassette, registry.get(feed).secrets)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        asked = build(
            request.method, str(request.url), (), headers=headers, content=await request.aread()
        )
        found = await self._answers.to(asked)
        return httpx.Response(
            found.status,
            headers=[
                (name.encode("latin-1"), value.encode("latin-1")) for name, value in found.headers
            ],
            stream=_Whole(found.body),
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": (found.reason or "").encode(),
            },
        )


class _Whole(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> Any:
        yield self._body
