"""robots.txt: asked before the first page, followed, archived apart, kept."""

import asyncio

import pytest
from asgiref.sync import sync_to_async

from ingest import RobotsRefused
from ingest.models import HostState
from raw_store import feeds

from ..conftest import FEED
from ..origin import response

RULES = b"User-agent: *\nDisallow: /private\nCrawl-delay: 0.1\n"


@pytest.fixture
def site(origin):
    for path in ("/a", "/b", "/private/c"):
        origin.answer(path, response(b"{}"))
    return origin


def targets(origin):
    return [asked.target for asked in origin.asked]


async def test_it_is_asked_once_and_what_it_refuses_is_not_requested(site, extract, archive):
    site.answer("/robots.txt", response(RULES))
    refused = []

    async def pages(client):
        await asyncio.gather(client.get(site.url("/a")), client.get(site.url("/b")))
        with pytest.raises(RobotsRefused, match=r"does not allow rootcellar to request /private/c"):
            await client.get(site.url("/private/c"))
        refused.append(True)

    run = await extract(pages, robots=True)
    again = await extract(pages, robots=True)
    state = await HostState.objects.aget()

    assert (run.outcome, again.outcome) == ("complete", "complete"), run.error
    assert len(refused) == 2
    assert targets(site)[0] == "/robots.txt"
    assert targets(site).count("/robots.txt") == 1
    assert "/private/c" not in targets(site)
    assert state.crawl_delay == 0.1


async def test_it_is_archived_in_a_feed_of_its_own(site, extract, archive):
    site.answer("/robots.txt", response(RULES))

    async def pages(client):
        await client.get(site.url("/a"))

    def urls(feed):
        return [each.url for each in archive.scan(feed)]

    await extract(pages, robots=True)

    assert await sync_to_async(urls)("orchard.robots") == [site.url("/robots.txt")]
    assert await sync_to_async(urls)(FEED) == [site.url("/a")]
    assert feeds.get("orchard.robots").current == "latest"


async def test_a_redirect_into_what_is_refused_is_not_followed(site, extract):
    site.answer("/robots.txt", response(RULES))
    site.answer("/a", response(b"", "Location: /private/c", status="302 Found"))

    async def pages(client):
        await client.get(site.url("/a"))

    run = await extract(pages, robots=True)

    assert run.outcome == "failed"
    assert "/private/c" not in targets(site)


@pytest.mark.parametrize(
    "rules",
    [
        b"\xef\xbb\xbfUser-agent: *\nDisallow: /private\n",
        # Read up to half a megabyte, the last line would say /.
        b"User-agent: *\nDisallow: /private\nAllow: /a\n".ljust(512 * 1024 - 12, b"#")
        + b"\nDisallow: /big\n",
    ],
)
async def test_a_byte_order_mark_and_a_line_cut_off_change_no_rule(site, extract, rules):
    site.answer("/robots.txt", response(rules))

    async def pages(client):
        await client.get(site.url("/b"))
        with pytest.raises(RobotsRefused):
            await client.get(site.url("/private/c"))

    run = await extract(pages, robots=True)

    assert run.outcome == "complete", run.error


@pytest.mark.parametrize("status", ["500 Internal Server Error", "429 Too Many Requests"])
async def test_a_failure_means_that_nothing_is_requested_for_now(site, extract, status):
    site.answer("/robots.txt", response(b"", status=status))

    async def pages(client):
        await client.get(site.url("/a"))

    run = await extract(pages, robots=True)

    assert run.outcome == "failed"
    assert "/robots.txt could not be read (it answered" in run.error
    assert targets(site) == ["/robots.txt"]


async def test_a_host_without_one_allows_everything(site, extract):
    async def pages(client):
        await client.get(site.url("/private/c"))

    run = await extract(pages, robots=True)

    assert run.outcome == "complete", run.error
    assert targets(site) == ["/robots.txt", "/private/c"]


async def test_a_feed_that_does_not_crawl_asks_for_none(site, extract):
    async def pages(client):
        await client.get(site.url("/private/c"))

    await extract(pages)

    assert targets(site) == ["/private/c"]
