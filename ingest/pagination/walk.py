"""Walking through a listing: page after page, until it ends or goes in a circle."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from ..errors import PagesInCircle
from .asking import Asked, Way

if TYPE_CHECKING:
    from ..response import Response

logger = logging.getLogger(__name__)

Fetch = Callable[[Asked], Awaitable["Response"]]

MOST_ALIKE = 10
"""Equal pages in a row, each under an address of its own, that are taken for a circle."""


async def walk(
    way: Way,
    asked: Asked,
    fetch: Fetch,
    *,
    most: int | None = None,
    is_secret_header: Callable[[str], bool],
) -> AsyncIterator["Response"]:
    """The pages of a listing, in order; at `most` so many.

    Raises `PagesInCircle` where a request is about to be made again, or where ever new requests
    are answered with one and the same page.
    """
    following = way.first(asked)
    origin = httpx.URL(asked.url)
    seen = {following.digest}
    before, alike, number = None, 0, 0
    while True:
        response = await fetch(_without_secrets(following, origin, is_secret_header))
        number += 1
        is_repeat = before is not None and response.payload.body_digest == before
        # Where pages are counted, one beyond the last is not there, or is the last one again.
        if way.is_ended_by_repeats and number > 1 and (is_repeat or not response.is_success):
            return
        yield response
        if not response.is_success:
            return
        alike = alike + 1 if is_repeat else 1
        if alike >= MOST_ALIKE:
            raise PagesInCircle(
                f"The last {alike} pages are one and the same, up to {response.payload.url}: the "
                "server answers, but the listing does not go on."
            )
        before = response.payload.body_digest
        found = way.following(following, response)
        if found is None:
            return
        if number == most:
            logger.info("pages ended early most=%d url=%s", number, response.payload.url)
            return
        if found.digest in seen:
            raise PagesInCircle(
                f"Page {response.payload.url} names itself or an earlier page as the next one. "
                "Check what by= (or next_url=) finds in it."
            )
        seen.add(found.digest)
        following = found


def _without_secrets(
    asked: Asked, first: httpx.URL, is_secret_header: Callable[[str], bool]
) -> Asked:
    """What leads to another origin goes without what was meant for the first, as redirects do."""
    url = httpx.URL(asked.url)
    if (url.scheme, url.raw_host, url.port) == (first.scheme, first.raw_host, first.port):
        return asked
    if (url.scheme, url.raw_host) == ("https", first.raw_host) and first.scheme == "http":
        return asked
    kept = {name: value for name, value in asked.headers.items() if not is_secret_header(name)}
    return replace(asked, headers=kept)
