"""Runs: one execution of one extractor, from its first request to its recorded outcome."""

import asyncio
import functools
import logging
import os
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import transaction
from django.db.models import F

from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from raw_store.payload import Payload
from raw_store.writer import Writer

from . import registry
from .client import Client
from .display import is_failure
from .errors import HostUnavailable, IngestError
from .models import FeedStatus, Outcome, Run, Watermark
from .notices.outbox import note
from .pace import Patience
from .politeness.paces import shared_paces
from .politeness.robots import Admit, robots_of
from .redact import Redactor
from .registry import Extractor
from .shards import ALL, Shard
from .transport import ArchivingTransport
from .uncancelled import uncancelled
from .wire.choosing import wire_of
from .wire.through_httpx import HttpxWire

logger = logging.getLogger(__name__)

OnArchived = Callable[[Payload], None]
RunWork = Callable[[Client, "Ledger"], Awaitable[None]]

_HEARTBEAT = 15.0
_DEAD_AFTER = timedelta(minutes=2)

_running_here: set[UUID] = set()


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What a run did so far, on its way into the transactions that acknowledge it."""

    run: Run
    writer: Writer
    progress: OnArchived | None
    received_bytes: int = 0
    failure_count: int = 0
    watermarks: dict[str, Any] = field(default_factory=dict)
    _acts: list[Callable[[], None]] = field(default_factory=list)
    _asked: list[Callable[[], Callable[[], None] | None]] = field(default_factory=list)
    _recorded: int = 0

    def archived(self, payload: Payload) -> None:
        self.received_bytes += payload.encoded_size or 0
        self.failure_count += is_failure(payload)
        if self.progress:
            self.progress(payload)

    def advance(self, partition: str, value: Any) -> None:
        self.watermarks[partition] = value

    def at_next_seal(self, act: Callable[[], None]) -> None:
        """Do something in the transaction that acknowledges all that was archived up to now."""
        self._acts.append(act)

    def at_each_seal(self, ask: Callable[[], Callable[[], None] | None]) -> None:
        """Call `ask` whenever rows are fixed; what it returns is done in their transaction."""
        self._asked.append(ask)

    def seal_soon(self) -> None:
        self.writer.seal_soon()

    @property
    def feed(self) -> str:
        return self.run.feed

    @property
    def run_id(self) -> UUID:
        return self.run.id

    def at_seal(self) -> Callable[[], None] | None:
        """The work for the transaction that acknowledges the rows pending now, and no others."""
        count = self.writer.count + self.writer.pending
        watermarks, self.watermarks = self.watermarks, {}
        acts, self._acts = self._acts, []
        acts += [act for ask in self._asked if (act := ask())]
        if count == self._recorded and not watermarks and not acts:
            return None
        self._recorded = count
        values: dict[str, Any] = {"payload_count": count, "received_bytes": self.received_bytes}
        values |= {"failure_count": self.failure_count, "heartbeat_at": datetime.now(UTC)}
        return functools.partial(_record_progress, self.run, values, watermarks, acts)


async def run_feed(
    name: str,
    archive: Archive,
    *,
    work: RunWork | None = None,
    is_backfill: bool = False,
    progress: OnArchived | None = None,
    patience: Patience | None = None,
    inner: httpx.AsyncBaseTransport | None = None,
    shard: Shard | None = None,
) -> Run:
    """Fetch one feed and archive every response it gave.

    The outcome is in the run that is returned: an extractor's failure is recorded there, not
    raised. A cancelled run is sealed, recorded as interrupted, and the cancellation raised.
    Where the database refuses to record that the run begins, its error is raised.
    `progress` is called with each archived payload. `inner` replaces the network. `work` is done in
    place of the extractor; a backfill's run leaves the feed's status as it is. `shard` is the share
    of a feed that is spread; without it, what `SHARD` says. A backfill is shared by partitions.
    """
    extractor = registry.get(name)
    shard = ALL if is_backfill else shard or Shard.parse(settings.SHARD)
    await sync_to_async(mark_interrupted)(name)
    run = _new_run(name, is_backfill=is_backfill)
    redactor = Redactor(settings.SECRET_KEY, extractor.secrets)
    try:
        await uncancelled(sync_to_async(_begin)(run))
        async with _heartbeat(run), archive.writer(name, run.id) as writer:
            ledger = Ledger(run=run, writer=writer, progress=progress)
            writer.on_seal = ledger.at_seal
            transport = ArchivingTransport(
                HttpxWire(inner) if inner else wire_of(extractor.network),
                extractor=extractor,
                run_id=run.id,
                archive=archive,
                writer=writer,
                redactor=redactor,
                paces=shared_paces(),
                patience=patience or Patience(),
                on_archived=ledger.archived,
            )
            async with (
                _robots(extractor, transport, archive, run) as admit,
                Client(
                    transport,
                    redactor=redactor,
                    patience=patience or Patience(),
                    watermarks=await sync_to_async(_watermarks)(name),
                    advance=ledger.advance,
                    auth=extractor.auth,
                    admit=admit,
                    ledger=ledger,
                    shard=shard if extractor.is_spread else None,
                ) as client,
            ):
                await (work(client, ledger) if work else extractor.function(client))
            await writer.seal(complete=True, in_transaction=lambda: _end(run, Outcome.COMPLETE))
    except asyncio.CancelledError:
        await uncancelled(sync_to_async(_end)(run, Outcome.INTERRUPTED))
        raise
    except Exception as error:
        if run.id not in _running_here:
            raise
        await uncancelled(sync_to_async(_end)(run, Outcome.FAILED, error, redactor))
    finally:
        if run.id in _running_here:
            _running_here.discard(run.id)
            await uncancelled(sync_to_async(_report)(run))
    return run


class ReceivedRun:
    """A run of a feed that is pushed: begun and ended by whoever receives the payloads.

    Every method waits for the database.
    """

    def __init__(self, feed: str) -> None:
        """Begin. Where the database refuses to record that, its error is raised."""
        mark_interrupted(feed)
        self._run = _new_run(feed)
        _begin(self._run)

    @property
    def id(self) -> UUID:
        return self._run.id

    def progress(self, *, payload_count: int, received_bytes: int) -> Callable[[], None]:
        """The work for the transaction that acknowledges so many payloads of this run."""
        values = {"payload_count": payload_count, "received_bytes": received_bytes}
        return functools.partial(
            _record_progress, self._run, {**values, "heartbeat_at": datetime.now(UTC)}, {}
        )

    def end(self, error: Exception | None = None, redactor: Redactor | None = None) -> None:
        """Record that it is over, or what it failed of."""
        try:
            _end(self._run, Outcome.FAILED if error else Outcome.COMPLETE, error, redactor)
        finally:
            _running_here.discard(self._run.id)
        _report(self._run)


@asynccontextmanager
async def _robots(
    extractor: Extractor, transport: ArchivingTransport, archive: Archive, run: Run
) -> AsyncIterator[Admit | None]:
    """What admits a run's requests, where its feed follows robots.txt; that is archived apart."""
    if extractor.robots is None:
        yield None
        return
    async with archive.writer(extractor.robots.name, run.id) as writer:
        apart = transport.into(replace(extractor, feed=extractor.robots), writer)
        yield robots_of(apart, shared_paces()).admit
        await writer.seal()


def mark_interrupted(feed: str | None = None) -> int:
    """Mark as interrupted the runs, of `feed` or of all, whose process is dead; return how many."""
    running = Run.objects.filter(outcome=Outcome.RUNNING)
    found = [run for run in (running.filter(feed=feed) if feed else running) if not _is_alive(run)]
    for run in found:
        logger.warning("run interrupted feed=%s run=%s: its process is gone", run.feed, run.id)
        _end(run, Outcome.INTERRUPTED)
    return len(found)


def _new_run(feed: str, *, is_backfill: bool = False) -> Run:
    now = datetime.now(UTC)
    machine, pid = socket.gethostname(), os.getpid()
    return Run(
        feed=feed,
        started_at=now,
        heartbeat_at=now,
        machine=machine,
        pid=pid,
        is_backfill=is_backfill,
    )


def _begin(run: Run) -> None:
    _running_here.add(run.id)
    try:
        with transaction.atomic():
            run.save(force_insert=True)
            if not run.is_backfill:
                FeedStatus.objects.update_or_create(feed=run.feed, defaults={"last_run": run})
    except AnyDatabaseError:
        _running_here.discard(run.id)
        raise


def _end(
    run: Run,
    outcome: Outcome,
    error: BaseException | None = None,
    redactor: Redactor | None = None,
) -> None:
    """Record how a run ended; for a complete one, in the transaction of its last segment."""
    now = datetime.now(UTC)
    message = trace = ""
    if error is not None and redactor is not None:
        message = redactor.scrub(describe(error))
        trace = redactor.scrub("".join(traceback.format_exception(error)))
    runs = Run.objects.filter(pk=run.pk)
    if outcome is not Outcome.COMPLETE:
        # A cancellation may arrive just after the run was sealed as complete.
        runs = runs.exclude(outcome=Outcome.COMPLETE)
    with transaction.atomic():
        changed = runs.update(
            outcome=outcome,
            finished_at=now,
            error=message,
            traceback=trace,
            resume_at=_resume_at(error),
        )
        status = FeedStatus.objects.filter(feed=run.feed)
        if not changed or run.is_backfill:
            return
        failures = status.values_list("consecutive_failures", flat=True).first() or 0
        note(run, outcome, failures, now)
        if outcome is Outcome.COMPLETE:
            status.update(last_complete_at=now, consecutive_failures=0, last_error="")
        elif outcome is Outcome.FAILED:
            status.update(consecutive_failures=F("consecutive_failures") + 1, last_error=message)


def _report(run: Run) -> None:
    """Read back what was recorded of a run, and log it."""
    run.refresh_from_db()
    seconds = ((run.finished_at or datetime.now(UTC)) - run.started_at).total_seconds()
    level = logging.WARNING if run.outcome == Outcome.FAILED else logging.INFO
    line = "run ended feed=%s run=%s outcome=%s payloads=%d bytes=%d seconds=%.1f"
    values = (run.feed, run.id, run.outcome, run.payload_count, run.received_bytes, seconds)
    logger.log(
        level, line + (" error=%s" if run.error else ""), *values, *filter(None, [run.error])
    )


def describe(error: BaseException) -> str:
    """What went wrong, in one sentence: the first error of a group, its kind unless it is ours."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, IngestError | ArchiveError):
        return str(error)
    return f"The extractor raised {type(error).__name__}: {error}"


def _resume_at(error: BaseException | None) -> datetime | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error.until if isinstance(error, HostUnavailable) else None


def _record_progress(
    run: Run,
    values: dict[str, Any],
    watermarks: dict[str, Any],
    acts: Iterable[Callable[[], None]] = (),
) -> None:
    for act in acts:
        act()
    Run.objects.filter(pk=run.pk).update(**values)
    Watermark.objects.bulk_create(
        [
            Watermark(
                feed=run.feed,
                partition=partition,
                value=value,
                run_id=run.pk,
                advanced_at=values["heartbeat_at"],
            )
            for partition, value in watermarks.items()
        ],
        update_conflicts=True,
        unique_fields=["feed", "partition"],
        update_fields=["value", "run_id", "advanced_at"],
    )


def _watermarks(feed: str) -> dict[str, Any]:
    return dict(Watermark.objects.filter(feed=feed).values_list("partition", "value"))


def _is_alive(run: Run) -> bool:
    if datetime.now(UTC) - run.heartbeat_at > _DEAD_AFTER:
        return False
    if run.machine != socket.gethostname():
        return True
    if run.pid == os.getpid():
        return run.pk in _running_here
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@asynccontextmanager
async def _heartbeat(run: Run) -> AsyncIterator[None]:
    """Say every few seconds that the run's process lives."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT)
            try:
                await Run.objects.filter(pk=run.pk).aupdate(heartbeat_at=datetime.now(UTC))
            except AnyDatabaseError as error:
                # The next beat may succeed; what matters is sealed in transactions that raise.
                logger.warning("heartbeat not recorded run=%s: %s", run.pk, error)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
