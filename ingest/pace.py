"""How fast a host is asked: one pace per host, shared by every extractor of the process.

A host that asks for a pause (429, 503, `Retry-After`) is parked: nobody sends it anything before
that moment, and nobody holds one of its slots while waiting. A quick error never speeds it up.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from .errors import HostUnavailable

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529})
_PAUSES_HOST = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a fetch is tried, how long between, and for how long a host may make it wait."""

    attempts: int = 4
    base: float = 0.5
    """Seconds before the second attempt; each later pause is twice as long."""
    longest: float = 60.0
    """Seconds no back-off exceeds."""
    ceiling: float = 300.0
    """Seconds of pause a run waits for; asked for more, it fails and says until when."""

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after the failed `attempt` (1 is the first), with jitter."""
        pause = min(self.base * 2.0 ** min(attempt - 1, 30), self.longest)
        return pause * random.uniform(0.5, 1.0)


class HostPace:
    """One host: how many fetches at a time, and not before when."""

    def __init__(self, host: str, *, concurrency: int) -> None:
        self.host = host
        self.not_before: datetime | None = None
        self.consecutive_failures = 0
        self._slots = asyncio.Semaphore(concurrency)

    def park(self, until: datetime) -> None:
        """Send nothing before `until`; an earlier promise to wait longer stands."""
        if self.not_before is None or until > self.not_before:
            self.not_before = until

    @asynccontextmanager
    async def slot(self, ceiling: float) -> AsyncIterator[None]:
        """Wait for the host's pause and for a free slot, then hold the slot.

        Raises `HostUnavailable` when the pause is longer than `ceiling` seconds.
        """
        while True:
            await self._wait(ceiling)
            async with self._slots:
                # The host may have been parked while this fetch waited for its slot.
                if self._remaining() <= 0:
                    yield
                    return

    async def _wait(self, ceiling: float) -> None:
        while (remaining := self._remaining()) > 0:
            if remaining > ceiling:
                raise HostUnavailable(
                    f"{self.host} asked for no requests before {self.not_before:%Y-%m-%d %H:%M:%S} "
                    f"UTC, {remaining:,.0f} s from now; a run waits {ceiling:,.0f} s at most. "
                    "Run the feed again after that time."
                )
            await asyncio.sleep(remaining)

    def _remaining(self) -> float:
        if self.not_before is None:
            return 0.0
        return (self.not_before - datetime.now(UTC)).total_seconds()


class Paces:
    """The pace of every host this process talks to."""

    def __init__(self, *, concurrency: int = 8) -> None:
        self._concurrency = concurrency
        self._hosts: dict[str, HostPace] = {}

    def of(self, host: str) -> HostPace:
        """The one pace of `host` (with its port, if the address gives one)."""
        if host not in self._hosts:
            self._hosts[host] = HostPace(host, concurrency=self._concurrency)
        return self._hosts[host]


def pause_asked(status: int, headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that `Retry-After` (seconds or a date) asks for, or None when it asks for nothing.

    A date is read against the server's own `Date`, so a clock that is off shortens no pause.
    """
    value = headers.get("retry-after", "").strip()
    if status not in RETRIED or not value:
        return None
    try:
        return max(0.0, float(value)) if float(value) < 1e10 else None
    except ValueError:
        until = _http_date(value)
    if until is None:
        return None
    return max(0.0, (until - (_http_date(headers.get("date", "")) or now)).total_seconds())


def note(
    pace: HostPace, status: int | None, headers: Mapping[str, str], attempt: int, patience: Patience
) -> None:
    """Tell a host's pace how a fetch ended: after a failure it may have to wait, never hurry."""
    if status is not None and status not in RETRIED:
        pace.consecutive_failures = 0
        return
    pace.consecutive_failures += 1
    now = datetime.now(UTC)
    pause = None if status is None else pause_asked(status, headers, now)
    if pause is None and status in _PAUSES_HOST:
        pause = patience.backoff(max(attempt, pace.consecutive_failures))
    if pause:
        pace.park(now + timedelta(seconds=pause))


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
