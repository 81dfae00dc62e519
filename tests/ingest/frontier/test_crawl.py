"""Crawls: each page once, in order, within scope, over as many runs as it takes."""

import asyncio
import io

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.core.management.base import CommandError

from ingest.frontier import store
from ingest.models import Crawl, FrontierState, FrontierUrl, Outcome, Run

from ..conftest import FEED, until
from ..origin import response, then_silence
from .site import Site


def html(*links):
    body = "".join(f'<a href="{link}">x</a>' for link in links).encode()
    return response(body or b"-", "Content-Type: text/html")


@pytest.fixture
def crawl(extract):
    """Crawl and return the run and the pages, as their paths."""

    async def run(start, *, each=None, **options):
        seen = []

        async def pages(client):
            async for page in client.crawl(start, **options):
                seen.append(page.response.url.raw_path.decode())
                if each:
                    each(page)

        return await extract(pages), seen

    return run


def states():
    return {
        row.url.rpartition("/")[2]: FrontierState(row.state).name
        for row in FrontierUrl.objects.all()
    }


async def test_a_crawl_gives_each_page_once_those_nearby_first(crawl):
    async with Site(60) as site:
        run, seen = await crawl(site.url(), concurrency=1)
    finished = await Crawl.objects.aget()

    assert run.outcome == "complete", run.error
    assert sorted(map(int, (path[1:] for path in seen))) == list(range(60))
    assert set(site.asked.values()) == {1}
    assert {int(path[1:]) for path in seen[:6]} == {0, 1, 2, 3, 4, 5}
    assert (finished.done_count, finished.failed_count) == (60, 0)
    assert finished.finished_at is not None


async def test_a_crawl_stays_within_its_scope_and_depth(origin, crawl):
    origin.answer("/a/", html("b", "/c", "/a/deny", "http://localhost:1/"))
    origin.answer("/a/b", html("b/d"))
    origin.answer("/a/b/d", html("e"))

    run, seen = await crawl(origin.url("/a/"), within="prefix", deny=["deny"], depth=2)

    assert run.outcome == "complete", run.error
    assert seen == ["/a/", "/a/b", "/a/b/d"]


async def test_what_is_gone_or_refused_does_not_end_a_crawl(origin, crawl):
    origin.answer("/", html("/gone", "/closed", "/open"))
    origin.answer("/closed", response(b"", status="403 Forbidden"))
    origin.answer("/open", html())

    run, seen = await crawl(origin.url())
    found = await sync_to_async(states)()
    closed = await FrontierUrl.objects.aget(state=FrontierState.FAILED)

    assert run.outcome == "complete", run.error
    assert seen == ["/", "/open"]
    assert found == {"": "DONE", "gone": "DONE", "closed": "FAILED", "open": "DONE"}
    assert "answered 403 Forbidden" in closed.error


async def test_what_an_extractor_follows_comes_by_its_priority(origin, crawl):
    origin.answer("/", html("/ignored"))

    def follow(page):
        if page.depth == 0:
            page.follow(["/low"], priority=-1)
            page.follow("/high", priority=1)
            page.follow(["/middle", "javascript:alert(1)"])

    for path in ("/low", "/high", "/middle"):
        origin.answer(path, html())
    _, seen = await crawl(origin.url(), links=None, each=follow, concurrency=1)

    assert seen == ["/", "/high", "/middle", "/low"]


async def test_a_run_that_breaks_off_is_gone_on_with_and_the_next_begins_anew(crawl):
    class Enough(Exception):
        pass

    visited = []

    def stop(page):
        visited.append(page)
        if len(visited) == 10:
            raise Enough

    async with Site(40) as site:
        broken, first = await crawl(site.url(), each=stop)
        # The page that the extractor failed on was not finished.
        second_run, second = await crawl(site.url())
        third_run, third = await crawl(site.url())

    assert broken.outcome == "failed"
    assert second_run.outcome == third_run.outcome == "complete"
    assert set(first[:9]).isdisjoint(second)
    assert set(first) | set(second) == set(third)
    assert len(third) == 40
    assert await FrontierUrl.objects.acount() == 40
    assert await Crawl.objects.acount() == 2


async def test_a_page_is_done_only_when_it_is_archived(origin, extract):
    url = origin.answer("/", html("/slow"))
    origin.answer("/slow", then_silence())
    found = []

    async def pages(client):
        async for page in client.crawl(url, at_risk=2, concurrency=2):
            found.append(page)

    task = asyncio.create_task(extract(pages))
    await until(lambda: len(origin.asked) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await sync_to_async(states)() == {"": "DONE", "slow": "WAITING"}
    assert (await Run.objects.aget()).outcome == "interrupted"


async def test_a_page_whose_row_was_sealed_before_it_was_finished_does_not_hold_up_a_crawl(
    origin, extract
):
    url = origin.answer("/", html())

    async def pages(client):
        async for _ in client.crawl(url):
            client._ledger.seal_soon()
            await until(lambda: client._ledger.writer.pending == 0)

    run = await asyncio.wait_for(extract(pages), 30)

    assert run.outcome == "complete", run.error
    assert await sync_to_async(states)() == {"": "DONE"}


async def test_a_link_that_holds_a_secret_is_not_followed(origin, crawl, home):
    token = "b9c0d1e2f3a4b5c6d7e8"
    origin.answer("/", html(f"/a?access_token={token}", "/b"))
    origin.answer("/b", html())

    run, seen = await crawl(origin.url())
    refused, _ = await crawl(origin.url(f"/?access_token={token}"))
    urls = [row.url async for row in FrontierUrl.objects.all()]

    assert run.outcome == "complete", run.error
    assert seen == ["/", "/b"]
    assert not any(token in url for url in urls)
    assert "holds a secret" in refused.error
    assert token not in refused.error


async def test_sitemaps_that_robots_txt_names_are_read(origin, crawl):
    listed = "".join(f"<url><loc>{origin.url(f'/p{n}')}</loc></url>" for n in range(5))
    outside = "<url><loc>http://elsewhere.example/</loc></url>"
    index = f"<sitemapindex><sitemap><loc>{origin.url('/pages.xml')}</loc></sitemap></sitemapindex>"
    origin.answer("/robots.txt", response(f"Sitemap: {origin.url('/map.xml')}".encode()))
    origin.answer("/map.xml", response(index.encode()))
    origin.answer("/pages.xml", response(f"<urlset>{listed}{outside}</urlset>".encode()))
    for path in ("/", *(f"/p{n}" for n in range(5))):
        origin.answer(path, html())

    run, seen = await crawl(origin.url(), sitemaps="robots")

    assert run.outcome == "complete", run.error
    assert sorted(seen) == ["/", "/p0", "/p1", "/p2", "/p3", "/p4"]


async def test_a_robots_txt_may_name_its_sitemap_by_its_path_and_begin_with_a_mark(origin, crawl):
    origin.answer("/robots.txt", response(b"\xef\xbb\xbfSitemap: /map.xml\nSitemap: mailto:a\n"))
    page = f"<urlset><url><loc>{origin.url('/p')}</loc></url></urlset>"
    origin.answer("/map.xml", response(page.encode()))
    for path in ("/", "/p"):
        origin.answer(path, html())

    run, seen = await crawl(origin.url(), sitemaps="robots")

    assert run.outcome == "complete", run.error
    assert sorted(seen) == ["/", "/p"]


async def test_a_robots_txt_that_is_refused_names_no_sitemap(origin, crawl):
    origin.answer("/robots.txt", response(b"", status="403 Forbidden"))
    origin.answer("/", html())

    run, seen = await crawl(origin.url(), sitemaps="robots")

    assert (run.outcome, seen) == ("complete", ["/"]), run.error


async def test_a_sitemap_that_is_none_fails_alone(origin, crawl):
    origin.answer("/", html())
    origin.answer("/map.xml", response(b"<urlset><url>"))

    run, seen = await crawl(origin.url(), sitemaps=[origin.url("/map.xml")])
    failed = await FrontierUrl.objects.aget(state=FrontierState.FAILED)

    assert run.outcome == "complete", run.error
    assert seen == ["/"]
    assert "is not well-formed" in failed.error


async def test_a_host_that_asks_for_a_long_pause_ends_the_run_and_keeps_the_crawl(origin, crawl):
    pause = response(b"", "Retry-After: 3600", status="429 Too Many Requests")
    origin.answer("/", html("/busy"))
    origin.answer("/busy", pause)

    run, seen = await crawl(origin.url())

    assert (run.outcome, seen) == ("failed", ["/"])
    assert run.resume_at is not None
    assert await sync_to_async(states)() == {"": "DONE", "busy": "WAITING"}


async def test_two_runs_of_one_feed_share_a_crawl(extract):
    seen = []

    async with Site(80, delay=0.01) as site:

        async def pages(client):
            async for page in client.crawl(site.url(), concurrency=3):
                seen.append(page.url)

        runs = await asyncio.gather(extract(pages), extract(pages))

    assert [run.outcome for run in runs] == ["complete", "complete"], [run.error for run in runs]
    assert sorted(seen) == sorted({*seen})
    assert len(seen) == 80
    assert set(site.asked.values()) == {1}
    assert min(run.payload_count for run in runs) > 0


def found(*pages):
    return [
        store.Found(url=f"http://x.example/{each}", key=f"{each:032x}", depth=0, rank=each)
        for each in pages
    ]


def running():
    from ..test_runs import make_run

    return make_run().pk


def test_an_address_is_leased_once_until_it_is_let_go(transactional_db):
    crawl, is_new = store.open_crawl(FEED)
    same, is_again_new = store.open_crawl(FEED)
    store.add(crawl, found(*range(5)))
    store.add(crawl, found(*range(3, 8)))
    one, other = running(), running()

    first, second = store.lease(crawl, one, 5), store.lease(crawl, other, 5)
    store.release([each.id for each in second])
    third = store.lease(crawl, one, 5)

    assert (is_new, is_again_new, same.pk) == (True, False, crawl.pk)
    assert [each.url[-1] for each in first] == ["0", "1", "2", "3", "4"]
    assert [each.url[-1] for each in second] == [each.url[-1] for each in third] == ["5", "6", "7"]
    assert {each.attempts for each in third} == {1}
    assert store.lease(crawl, other, 5) == []


def test_a_lease_that_expired_is_given_to_somebody_else(transactional_db):
    crawl, _ = store.open_crawl(FEED)
    store.add(crawl, found(1, 2))
    run = running()
    store.lease(crawl, run, 2)
    FrontierUrl.objects.filter(rank=1).update(lease_until="2026-01-01T00:00:00+00:00")

    released = store.release_expired(crawl)
    store.renew(crawl, run)

    assert released == 1
    assert [each.attempts for each in store.lease(crawl, running(), 5)] == [2]


def test_what_a_dead_run_leased_is_let_go_and_given_up_in_the_end(transactional_db):
    crawl, _ = store.open_crawl(FEED)
    store.add(crawl, found(1))
    for _ in range(store.MOST_ATTEMPTS):
        run = running()
        assert len(store.lease(crawl, run, 1)) == 1
        Run.objects.filter(pk=run).update(outcome=Outcome.INTERRUPTED)
        store.open_crawl(FEED)

    row = FrontierUrl.objects.get()
    assert row.state == FrontierState.FAILED
    assert "5 processes in turn ended" in row.error
    assert store.is_exhausted(crawl)


def say(*arguments, **options):
    out = io.StringIO()
    call_command("frontier", *arguments, stdout=out, **options)
    return out.getvalue()


def test_the_command_tells_where_a_crawl_stands_and_begins_it_anew(transactional_db):
    nothing = say()
    crawl, _ = store.open_crawl(FEED)
    store.add(crawl, found(1, 2, 3))
    (first, second) = store.lease(crawl, running(), 2)
    store.done([first.id])
    store.failed(second.id, "GET … answered 403")

    open_crawl = say(FEED, failed=True)
    retried = say(FEED, retry=True)
    restarted = say(FEED, restart=True)

    assert nothing.startswith("No crawl was begun")
    assert "1 waiting, 0 leased, 1 done, 1 failed" in open_crawl
    assert "http://x.example/2: GET … answered 403" in open_crawl
    assert retried == "orchard.pages: 1 addresses wait again\n"
    assert "begins anew" in restarted
    assert not FrontierUrl.objects.exists()
    with pytest.raises(CommandError, match="no open crawl"):
        say(FEED, retry=True)
