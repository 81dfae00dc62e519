"""One host as one process asks it: who may send now, and what the answers teach.

Whoever wants to send passes a gate, one at a time and in order; whatever there is to wait for (a
pause, a slot, a span, the database) is waited for there. Where nothing is, a request passes
without waiting, and without asking the database.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from ..errors import HostUnavailable
from ..pace import RETRIED, Patience
from ..wire.head import Headers
from .limits import RECOVERY_SECONDS, Declared, Limits
from .quotas import quotas_told, tells_of_quotas
from .retry_after import pause_asked
from .store import Span, Standing

NEWS_SECONDS = 0.5
"""Where several processes ask a host, each knows after so many seconds what the others learned."""
_PAUSES = frozenset({429, 503})
_SPAN_SECONDS = 1.0
_OBSERVED_SECONDS = 10.0
_MARGIN = 2.0
"""Seconds before the end of a lease at which nothing more is begun on it."""
_SLACK, _MOST_SLACK = 0.05, 30.0

Change = Callable[[Limits], Limits]


class Desk(Protocol):
    """Where a host's pace asks and tells; each call waits for the database."""

    async def claim(
        self, host: str, *, held: int, declared: Mapping[str, Declared]
    ) -> Standing: ...

    async def book(
        self, host: str, *, requests: int, slack: float, last_sent: float, previous: Span | None
    ) -> tuple[Limits, Span | None]: ...

    async def change(self, host: str, change: Change) -> Limits: ...


class HostPace:
    """One host: not before when, how many at a time, how many a second."""

    def __init__(self, host: str, *, desk: Desk, clock: Callable[[], float]) -> None:
        self.host = host
        self.limits = Limits()
        self.declared: dict[str, Declared] = {}
        self.slots = 0
        """How many requests may be under way from here; 0 before the first claim."""
        self.active = 0
        self.waiting = 0
        self.is_shared = False
        self.idle_since = 0.0
        self._desk = desk
        self._clock = clock
        self._lease_until = self._read_at = 0.0
        self._gate = asyncio.Lock()
        self._wake: asyncio.Future[None] | None = None
        self._span: Span | None = None
        self._sent: deque[float] = deque(maxlen=64)
        self._sent_in_span = 0
        self._slack = _SLACK
        self._is_told = True
        self._saving = 0
        self._saved_at = 0.0

    @property
    def not_before(self) -> datetime | None:
        """When the host may be asked again, if it asked for a pause."""
        until = self.limits.not_before
        return datetime.fromtimestamp(until, UTC) if until else None

    @property
    def held(self) -> int:
        """Slots in use, or that may be used at any moment."""
        return max(self.active, self.slots)

    @property
    def is_idle(self) -> bool:
        return not (self.active or self.waiting)

    def declare(self, feed: str, declared: Declared) -> None:
        """What a feed says of its hosts; the next request is sent by it."""
        known = self.declared.get(feed)
        if known is declared:
            return
        if known != declared and (declared or feed in self.limits.declared):
            self.declared[feed] = declared
            self._is_told = False

    def lose(self) -> None:
        """Begin nothing more before the database was asked again."""
        self.slots = 0
        self._lease_until = 0.0

    def learn(self, standing: Standing) -> None:
        """Adopt what the database says."""
        self.slots = standing.slots
        self.is_shared = standing.is_shared
        self._lease_until = standing.lease_until - _MARGIN
        self._read_at = standing.read_at
        self._adopt(standing.limits, standing.read_at)
        self._wake_up()

    def slot(self, ceiling: float) -> "Slot":
        """Wait until a request may be sent, and hold a slot; `async with` gives when it is sent.

        Raises `HostUnavailable` when the host asked for a pause longer than `ceiling` seconds.
        """
        return Slot(self, ceiling)

    async def take(self, ceiling: float) -> float:
        """Take a slot, as `slot` does."""
        sent_at = self._clock()
        if self._gate.locked() or not self._may_send(sent_at):
            sent_at = await self._wait_for_turn(ceiling)
        self.active += 1
        self._sent.append(sent_at)
        self._sent_in_span += 1
        return sent_at

    def give_back(self) -> None:
        """Give a slot back that was taken."""
        self.active -= 1
        if self.is_idle:
            self.idle_since = self._clock()
        self._wake_up()

    def note(
        self,
        status: int | None,
        headers: Headers,
        *,
        attempt: int,
        patience: Patience,
        sent_at: float,
    ) -> tuple[float, Change | None]:
        """Learn how a fetch ended: the seconds of pause the host is owed, and what is to be kept.

        What is to be kept is in force here already; see `keep`.
        """
        now = self._clock()
        pause = 0.0
        change: Change | None = None
        if status is None or status in RETRIED:
            failures = self.limits.consecutive_failures + 1
            asked = None
            if status is not None:
                asked = pause_asked(status, _by_name(headers), datetime.fromtimestamp(now, UTC))
            if asked is None and status in _PAUSES:
                asked = patience.backoff(max(attempt, failures))
            pause = asked or 0.0
            if status in _PAUSES or pause:
                observed = self._observed(now)
                change = partial(
                    _complained,
                    failures=failures,
                    until=now + pause if pause else 0.0,
                    reason=f"answered {status}",
                    sent_at=sent_at if status in _PAUSES else None,
                    observed=observed,
                    now=now,
                )
            else:
                self.limits = replace(self.limits, consecutive_failures=failures)
        elif self.limits.consecutive_failures or self._is_due_to_recover(now):
            change = partial(_succeeded, now=now)
        rationing = None
        if tells_of_quotas(headers):
            rationing = self._rationing(_by_name(headers), now)
        if rationing is not None:
            change = rationing if change is None else _both(change, rationing)
        if change is not None:
            self.limits = change(self.limits)
            self._wake_up()
        return pause, change

    async def keep(self, change: Change) -> None:
        """Make what was learned known to every process."""
        asked_at = self._clock()
        self._saving += 1
        try:
            limits = await self._desk.change(self.host, change)
        finally:
            self._saving -= 1
        # An answer to a question of before another one's answer may know less than that one.
        self._adopt(limits, asked_at)
        self._saved_at = self._clock()
        self._wake_up()

    def _may_send(self, now: float) -> bool:
        limits = self.limits
        if limits.not_before > now or self.active >= self.slots or now >= self._lease_until:
            return False
        if not self._is_told or self._is_stale(now):
            return False
        gap = limits.gap(now)
        return not gap or self._is_in_span(now, gap)

    def _is_stale(self, now: float) -> bool:
        return self.is_shared and now - self._read_at > NEWS_SECONDS

    def _is_in_span(self, now: float, gap: float) -> bool:
        span = self._span
        return span is not None and self._next_send(span, gap) <= now <= span.end - gap

    def _next_send(self, span: Span, gap: float) -> float:
        return max(span.start, self._last_sent + gap)

    @property
    def _last_sent(self) -> float:
        return self._sent[-1] if self._sent else 0.0

    async def _wait_for_turn(self, ceiling: float) -> float:
        self.waiting += 1
        try:
            self._refuse_long_pause(ceiling)
            async with self._gate:
                while not self._may_send(now := self._clock()):
                    self._refuse_long_pause(ceiling)
                    await self._wait(now)
                return now
        finally:
            self.waiting -= 1

    async def _wait(self, now: float) -> None:
        """Wait for, or ask for, the first thing that is missing."""
        pause = self.limits.not_before - now
        if pause > 0:
            await self._sleep(min(pause, NEWS_SECONDS) if self.is_shared else pause)
        elif now >= self._lease_until or not self._is_told or self._is_stale(now):
            declared, self._is_told = dict(self.declared), True
            self.learn(await self._desk.claim(self.host, held=self.held, declared=declared))
        elif self.active >= self.slots:
            # Another process holds them, or requests from here do; the keeper tells, or they end.
            await self._sleep(NEWS_SECONDS if self.is_shared else self._lease_until - now)
        else:
            await self._wait_for_span(now)

    async def _wait_for_span(self, now: float) -> None:
        gap = self.limits.gap(now)
        span = self._span
        if span is not None and now <= span.end - gap:
            at = self._next_send(span, gap)
            if at <= span.end - gap:
                await self._sleep(at - now)
                return
        if span is not None and not self._sent_in_span:
            # Too late for a span that was meant to be used: the next one leaves more time.
            self._slack = min(self._slack * 2, _MOST_SLACK)
        most = max(1, int(_SPAN_SECONDS / gap)) if gap else 1
        requests = min(most, max(self.waiting, 2 * self._sent_in_span))
        limits, self._span = await self._desk.book(
            self.host,
            requests=requests,
            slack=self._slack,
            last_sent=self._last_sent,
            previous=span,
        )
        self._sent_in_span = 0
        self._adopt(limits, now)

    def _refuse_long_pause(self, ceiling: float) -> None:
        remaining = self.limits.not_before - self._clock()
        if remaining > ceiling and (until := self.not_before):
            raise HostUnavailable(
                f"{self.host} asked for no requests before {until:%Y-%m-%d %H:%M:%S} "
                f"UTC, {remaining:,.0f} s from now; a run waits {ceiling:,.0f} s at most. "
                "Run the feed again after that time.",
                until=until,
            )

    def _adopt(self, limits: Limits, read_at: float) -> None:
        if self._saving or read_at <= self._saved_at:
            # What was learned here is not in the database yet, or was not when this was read.
            mine = self.limits
            rates = [rate for rate in (mine.rate, limits.rate) if rate is not None]
            limits = replace(
                limits,
                not_before=max(mine.not_before, limits.not_before),
                rate=min(rates, default=None),
                consecutive_failures=mine.consecutive_failures,
            )
        self.limits = limits

    def _observed(self, now: float) -> float:
        """Requests a second that were sent from here lately."""
        lately = [at for at in self._sent if now - at < _OBSERVED_SECONDS]
        return max(len(lately), 1) / max(now - min(lately, default=now), 0.1)

    def _is_due_to_recover(self, now: float) -> bool:
        limits = self.limits
        return limits.rate is not None and now - limits.changed_at >= RECOVERY_SECONDS

    def _rationing(self, headers: Mapping[str, str], now: float) -> Change | None:
        """What rate-limit headers ask for, where it is news."""
        told = quotas_told(headers, now)
        if not told:
            return None
        concurrency = max(self.slots, 1)
        rates = [(rate, each) for each in told if (rate := each.rate(concurrency))]
        pause = max(each.pause() for each in told)
        before = self.limits
        if pause and now + pause > before.not_before + 0.5:
            return partial(Limits.parked, until=now + pause, reason="its rate limit is used up")
        if not rates:
            return None
        rate, quota = min(rates, key=lambda pair: pair[0])
        known = before.quota_rate if before.quota_until > now else None
        if known and 0.8 * known <= rate <= 1.25 * known:
            return None
        return partial(Limits.rationed, rate=rate, until=now + quota.seconds, now=now)

    async def _sleep(self, seconds: float) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        try:
            # Not wait_for: woken and cancelled at once, it would forget the cancellation.
            await asyncio.wait([self._wake], timeout=max(seconds, 0.0))
        finally:
            self._wake = None

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class Slot:
    """A slot of a host, held in an `async with` block. A generator would take four times as long to
    enter and to leave."""

    __slots__ = ("_ceiling", "_host")

    def __init__(self, host: HostPace, ceiling: float) -> None:
        self._host = host
        self._ceiling = ceiling

    async def __aenter__(self) -> float:
        return await self._host.take(self._ceiling)

    async def __aexit__(self, *_: object) -> None:
        self._host.give_back()


def _by_name(headers: Headers) -> dict[str, str]:
    """The first header of each name, in lower case."""
    return {name.lower(): value for name, value in reversed(headers)}


def _complained(
    limits: Limits,
    *,
    failures: int,
    until: float,
    reason: str,
    sent_at: float | None,
    observed: float,
    now: float,
) -> Limits:
    """After an answer that asks to be left alone: parked, and slower from then on."""
    limits = replace(limits, consecutive_failures=max(failures, limits.consecutive_failures))
    if sent_at is not None:
        limits = limits.slowed(sent_at=sent_at, observed=observed, now=now)
    return limits.parked(until, reason)


def _succeeded(limits: Limits, *, now: float) -> Limits:
    return replace(limits, consecutive_failures=0).recovered(now)


def _both(first: Change, second: Change) -> Change:
    return lambda limits: second(first(limits))
