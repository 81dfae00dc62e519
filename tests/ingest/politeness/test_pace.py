"""Hosts asked over the loopback: the rate that is declared, what complaints and quotas teach."""

import itertools
import time

from django.core.management import call_command

from ingest.models import HostLease, HostState

from ..conftest import FEED
from ..origin import response


def timed(times, *headers, status="200 OK"):
    async def answer(asked, writer):
        times.append(time.monotonic())
        writer.write(response(b"{}", *headers, status=status))

    return answer


async def state_of(origin):
    return await HostState.objects.aget(host=f"127.0.0.1:{origin.port}")


async def test_a_declared_rate_keeps_requests_apart(origin, extract):
    times: list[float] = []
    urls = [origin.answer(f"/{number}", timed(times)) for number in range(6)]

    async def pages(client):
        async for _ in client.map(urls, concurrency=6):
            pass

    run = await extract(pages, rate="20/s")

    assert run.outcome == "complete", run.error
    assert all(later - earlier > 0.03 for earlier, later in itertools.pairwise(times))
    assert times[-1] - times[0] >= 0.24
    assert (await state_of(origin)).declared[FEED]["rate"] == 20.0


async def test_a_declared_concurrency_is_kept(origin, extract):
    urls = [origin.answer(f"/{number}", response(b"{}")) for number in range(12)]

    async def pages(client):
        async for _ in client.map(urls, concurrency=12):
            pass

    await extract(pages, concurrency=2)

    assert len(origin.asked) == 12
    assert origin.most_at_once <= 2


async def test_a_complaint_lowers_the_rate_for_every_process(origin, extract):
    busy = response(b"", status="429 Too Many Requests")
    url = origin.answer("/", busy, response(b"{}"))

    async def pages(client):
        await client.get(url)

    run = await extract(pages)
    state = await state_of(origin)

    assert run.outcome == "complete", run.error
    assert state.rate is not None
    assert state.rate < state.recovers_to
    assert state.reason == "answered 429"
    assert state.consecutive_failures == 0


async def test_a_quota_that_runs_out_slows_down_before_anything_is_refused(origin, extract):
    left = 12

    async def answer(asked, writer):
        nonlocal left
        left -= 1
        told = [f"X-RateLimit-Remaining: {left}", "X-RateLimit-Reset: 30", "X-RateLimit-Limit: 12"]
        writer.write(response(b"{}", *told))

    url = origin.answer("/", answer)

    async def pages(client):
        await client.get(url)

    await extract(pages)
    state = await state_of(origin)

    assert state.quota_rate < 1
    assert state.quota_until is not None


async def test_one_lease_serves_many_requests(origin, extract):
    urls = [origin.answer(f"/{number}", response(b"{}")) for number in range(40)]

    async def pages(client):
        async for _ in client.map(urls, concurrency=4):
            pass

    run = await extract(pages)

    assert run.payload_count == 40
    assert (await HostLease.objects.aget()).slots == 8


def test_the_command_lists_sets_and_forgets(transactional_db, capsys):
    HostState.objects.create(host="pears.example", rate=0.5, reason="answered 429")

    call_command("hosts", "set", "pears.example", "--rate", "30/m", "--concurrency", "2")
    call_command("hosts", "list")
    listed = capsys.readouterr().out
    call_command("hosts", "forget", "pears.example")
    state = HostState.objects.get()

    assert "set by hand: rate 30/m, at a time 2" in listed
    assert "pears.example  30/m  2" in listed
    assert (state.rate, state.set_rate, state.set_concurrency) == (None, 0.5, 2)
