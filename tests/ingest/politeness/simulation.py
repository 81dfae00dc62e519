"""Processes that ask hosts in virtual time: three shards that overlap, are killed and come back.

All of them share the real database; each has paces of its own, as a process has. What they send is
told to a `Judge`. Nothing here is left to the clock: the same seed gives the same requests.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from ingest.errors import HostUnavailable
from ingest.pace import Patience
from ingest.politeness.host import NEWS_SECONDS
from ingest.politeness.limits import Declared
from ingest.politeness.paces import Paces
from ingest.politeness.store import Store

from .judge import Judge, Rules
from .virtual_time import now

PATIENCE = Patience(base=0.5, longest=30.0, ceiling=20.0)
SHARDS = 3
_SLOWEST_STATEMENT = 0.3


@dataclass(kw_only=True)
class Host:
    """A host, what feeds declare of it, and how often it complains."""

    name: str
    declared: Declared
    latency: float
    trouble: float
    """The share of requests that it answers with something else than a page."""
    skew: float
    """Seconds its clock is off."""


@dataclass(kw_only=True)
class Process:
    number: int
    paces: Paces
    tasks: "asyncio.Task[None] | None" = None


@dataclass(kw_only=True)
class World:
    seed: int
    requests: int
    judge: Judge
    hosts: list[Host]
    chance: random.Random
    living: set[UUID] = field(default_factory=set)
    restarts: int = 0
    started: int = 0
    on_progress: Callable[[int], None] | None = None


def make_world(seed: int, requests: int, *, hosts: int = 8) -> World:
    """Hosts of every kind: with a rate, with few places, with neither, quick and slow ones."""
    chance = random.Random(seed)
    judge = Judge(rules={}, news=NEWS_SECONDS + _SLOWEST_STATEMENT)
    world = World(seed=seed, requests=requests, judge=judge, hosts=[], chance=chance)
    for number in range(hosts):
        rate = [None, 200.0, None, 50.0, None, 3.0, None, 20.0][number % 8]
        concurrency = [None, None, 5, 2, None, 1, 3, None][number % 8]
        host = Host(
            name="",
            declared=Declared(rate=rate, concurrency=concurrency),
            latency=chance.choice([0.05, 0.2]) if rate else 0.01,
            trouble=0.01 if rate else 0.001,
            skew=chance.choice([0.0, -7200.0, 86_400.0]),
        )
        world.hosts.append(host)
        rename(world, host)
    return world


def rename(world: World, host: Host, name: str = "") -> None:
    """Make the host called `name` one that nobody has asked before: its rate is not lowered."""
    if host.name != name:
        return
    rate, concurrency = host.declared.rate, host.declared.concurrency
    host.name = f"host-{len(world.judge.rules)}.example"
    world.judge.rules[host.name] = Rules(
        concurrency=concurrency or 8, gap=1 / rate if rate else 0.0
    )


async def simulate(world: World, *, life: float = 5.0, workers: int = 6) -> None:
    """Let the shards ask until so many requests were sent, each with so many `workers` a host;
    a shard is killed after about `life` seconds, and begins again."""
    await asyncio.gather(*(_shard(world, index, life, workers) for index in range(SHARDS)))


async def _shard(world: World, index: int, life: float, workers: int) -> None:
    while world.judge.sent < world.requests:
        process = _start(world, index)
        process.tasks = asyncio.create_task(_work(world, process, workers))
        await asyncio.wait([process.tasks], timeout=world.chance.uniform(0.2, 2) * life)
        # As SIGKILL does it: nothing is tidied up.
        process.tasks.cancel()
        await asyncio.gather(process.tasks, return_exceptions=True)
        if not process.tasks.cancelled() and (error := process.tasks.exception()):
            raise error
        world.judge.dies(process.number)
        # Now and then nobody can see that it died: its machine is gone too.
        if world.chance.random() < 0.85:
            world.living.discard(process.paces.holder)
        world.restarts += 1
        await asyncio.sleep(world.chance.choice([0.0, 0.0, 3.0]))


def _start(world: World, index: int) -> Process:
    holder = UUID(int=world.chance.getrandbits(128))
    world.living.add(holder)
    world.started += 1
    store = Store(holder, concurrency=8, clock=now, living=lambda: world.living)

    async def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        slow = world.chance.random() < 0.02
        await asyncio.sleep(world.chance.uniform(0, _SLOWEST_STATEMENT / 2 if slow else 0.005))
        result = function(*args, **kwargs)
        await asyncio.sleep(world.chance.uniform(0, _SLOWEST_STATEMENT / 2 if slow else 0.005))
        return result

    paces = Paces(clock=now, store=store, call=call)
    paces.holder = holder
    world.judge.begins(world.started, now())
    return Process(number=world.started, paces=paces)


async def _work(world: World, process: Process, workers: int) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            for host in world.hosts:
                for _ in range(workers):
                    tasks.create_task(_ask(world, process, host))
    finally:
        if process.paces._keeper is not None:
            process.paces._keeper.cancel()


async def _ask(world: World, process: Process, host: Host) -> None:
    chance, judge = world.chance, world.judge
    while judge.sent < world.requests:
        await asyncio.sleep(chance.choice([0.0, 0.0, 0.0, 0.01, 1.0]))
        for _ in range(chance.choice([1, 5, 40])):
            try:
                await _fetch(world, process, host)
            except HostUnavailable:
                # The run failed; another one begins later.
                await asyncio.sleep(chance.uniform(0.5, 5))


async def _fetch(world: World, process: Process, host: Host) -> None:
    chance, judge = world.chance, world.judge
    name = host.name
    pace = process.paces.of(name, feed="orchard.pages", declared=host.declared)
    async with pace.slot(PATIENCE.ceiling) as sent_at:
        judge.request(name, process.number, now())
        if world.on_progress and judge.sent % 1_000 == 0:
            world.on_progress(judge.sent)
        await asyncio.sleep(host.latency * chance.uniform(0.5, 1.5))
        status, headers, pause = _answer(host, chance)
        told = judge.answer(name, process.number, now(), pause=pause)
        if pause:
            # Asked for on and on, and then a little longer, and then no more.
            loop = asyncio.get_running_loop()
            loop.call_later(min(pause, 15.0) + 2.0, rename, world, host, name)
    _, news = pace.note(
        status, tuple(headers.items()), attempt=1, patience=PATIENCE, sent_at=sent_at
    )
    if news is not None:
        await pace.keep(news)
    judge.is_known(told, now())


def _answer(host: Host, chance: random.Random) -> tuple[int | None, dict[str, str], float]:
    """A status, headers, and the seconds for which the host wants to be left alone."""
    if chance.random() >= host.trouble:
        return 200, {}, 0.0
    kind = chance.choice(["seconds", "date", "hour", "nothing", "quick error", "broken"])
    if kind == "broken":
        return None, {}, 0.0
    if kind == "quick error":
        return 500, {}, 0.0
    status = chance.choice([429, 503])
    if kind == "nothing":
        return status, {}, 0.0
    if kind == "date":
        # Both by the host's own clock, in whole seconds.
        its_now = datetime.fromtimestamp(int(now() + host.skew), UTC)
        pause = chance.randint(1, 30)
        until = its_now + timedelta(seconds=pause)
        headers = {
            "retry-after": format_datetime(until, usegmt=True),
            "date": format_datetime(its_now, usegmt=True),
        }
        return status, headers, float(pause)
    pause = 3600 if kind == "hour" and chance.random() < 0.1 else chance.randint(1, 15)
    return status, {"retry-after": str(pause)}, float(pause)
