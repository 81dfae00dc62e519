"""A feed that every shard runs: each address is one shard's, each shard has its own schedule."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async

from ingest import extractor, partitions, registry
from ingest.answers import NoAnswers
from ingest.backfill import run_backfill
from ingest.dry_run import dry_run
from ingest.errors import ExtractorInvalid
from ingest.models import FeedStatus, Outcome, Run
from ingest.runs import run_feed
from ingest.schedule import due_at, plan, plan_after
from ingest.shards import Shard

from .conftest import FEED
from .origin import response

MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)
SHARDS = [Shard(index, 3) for index in (1, 2, 3)]


@pytest.fixture
def spread(declared):
    """Declare a function as an extractor that every shard runs."""

    def declare(function, **declaration):
        extractor(FEED, spread=True, **declaration)(function)
        return registry.get(FEED)

    return declare


async def test_each_address_is_one_shards_however_a_token_is_renewed(
    origin, spread, archive, payloads, transactional_db
):
    urls = [origin.answer(f"/{n}", response(b"{}")) for n in range(30)]
    tokens = iter("abc")

    async def pages(client):
        token = next(tokens) * 20
        for url in client.mine(f"{url}?api_key={token}" for url in urls):
            await client.get(url)

    spread(pages)
    for shard in SHARDS:
        run = await run_feed(FEED, archive, shard=shard)
        assert run.outcome == Outcome.COMPLETE
    found = await sync_to_async(payloads)()

    assert Counter(row.url.partition("?")[0] for row in found) == Counter(urls)
    assert len({row.run_id for row in found}) == 3


async def test_where_there_is_one_shard_every_address_is_its_own(
    origin, spread, archive, payloads, transactional_db
):
    urls = [origin.answer(f"/{n}", response(b"{}")) for n in range(5)]

    async def pages(client):
        for url in client.mine(urls):
            await client.get(url)

    spread(pages)
    await run_feed(FEED, archive)

    assert len(await sync_to_async(payloads)()) == 5


async def test_a_watermark_of_all_shards_is_refused(spread, archive, transactional_db):
    async def advancing(client):
        client.advance("2026-01-01")

    spread(advancing)
    run = await run_feed(FEED, archive, shard=SHARDS[0])

    assert run.outcome == Outcome.FAILED
    assert "has no watermark" in run.error


async def test_a_backfill_is_shared_by_partitions_and_its_addresses_are_all_fetched(
    origin, spread, archive, payloads, transactional_db, settings
):
    settings.SHARD = "1/3"
    urls = [origin.answer(f"/{n}", response(b"{}")) for n in range(8)]

    async def pages(client):
        async for _ in client.windows(start="2026-01-01"):
            for url in client.mine(urls):
                await client.get(url)

    spread(pages)
    day = partitions.cut(MORNING, MORNING + timedelta(days=1), "month")
    await sync_to_async(partitions.plan)(FEED, day)
    run = await run_backfill(FEED, archive)

    assert run.outcome == Outcome.COMPLETE
    assert len(await sync_to_async(payloads)()) == 8


@pytest.mark.parametrize("declaration", [{"host": "a.example"}, {"current": "run"}])
def test_what_does_not_go_together_is_said(spread, declaration):
    async def pages(client):
        """Asks for nothing."""

    with pytest.raises(ExtractorInvalid, match="every shard runs it"):
        spread(pages, **declaration)


def test_each_shard_runs_when_it_is_due_itself(spread, db):
    async def pages(client):
        """Asks for nothing."""

    declared = spread(pages, every="1h")
    one, other = SHARDS[:2]
    first, second = (plan(declared, MORNING, shard=shard) for shard in (one, other))
    assert first == second

    run = Run.objects.create(
        feed=FEED, started_at=MORNING, heartbeat_at=MORNING, pid=1, outcome=Outcome.COMPLETE
    )
    later = plan_after(declared, run, first, shard=one)

    status = FeedStatus.objects.get(feed=FEED)
    assert later > first
    assert due_at(declared, status, one) == later
    assert due_at(declared, status, other) == second
    assert due_at(declared, status, SHARDS[2]) is None
    assert status.next_run_at == second
    assert declared.belongs_to(one)
    assert declared.belongs_to(other)


def test_shards_of_another_number_are_forgotten(spread, db):
    async def pages(client):
        """Asks for nothing."""

    declared = spread(pages, every="1h")
    plan(declared, MORNING, shard=Shard(1, 2))
    plan(declared, MORNING, shard=SHARDS[0])

    assert FeedStatus.objects.get(feed=FEED).next_run_of_shard.keys() == {"1/3"}


async def test_a_dry_run_tells_what_this_shard_would_ask_for(spread, transactional_db, settings):
    urls = [f"https://shop.example/{number}" for number in range(20)]

    async def pages(client):
        async for _ in client.map(client.mine(urls)):
            pass

    spread(pages)
    told: list[str] = []
    for shard in SHARDS:
        settings.SHARD = str(shard)
        done = await dry_run(FEED, NoAnswers())
        told += [each.url for each in done.requests]

    assert sorted(told) == sorted(urls)
