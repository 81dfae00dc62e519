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
from weakref import WeakKeyDictionary

from .errors import HostUnavailable

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529})
HOST_CONCURRENCY = 8
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
            if remaining > ceiling and self.not_before:
                raise HostUnavailable(
                    f"{self.host} asked for no requests before {self.not_before:%Y-%m-%d %H:%M:%S} "
                    f"UTC, {remaining:,.0f} s from now; a run waits {ceiling:,.0f} s at most. "
                    "Run the feed again after that time.",
                    until=self.not_before,
                )
            await asyncio.sleep(remaining)

    def note(
        self, status: int | None, headers: Mapping[str, str], attempt: int, patience: Patience
    ) -> float | None:
        """Learn how a fetch ended; return the seconds of pause the host is owed, if any."""
        if status is not None and status not in RETRIED:
            self.consecutive_failures = 0
            return None
        self.consecutive_failures += 1
        now = datetime.now(UTC)
        pause = None if status is None else pause_asked(status, headers, now)
        if pause is None and status in _PAUSES_HOST:
            pause = patience.backoff(max(attempt, self.consecutive_failures))
        if pause:
            self.park(now + timedelta(seconds=pause))
        return pause or None

    def _remaining(self) -> float:
        if self.not_before is None:
            return 0.0
        return (self.not_before - datetime.now(UTC)).total_seconds()


class Paces:
    """The pace of every host, and its memory in the database."""

    def __init__(self, *, concurrency: int = HOST_CONCURRENCY) -> None:
        self._concurrency = concurrency
        self._hosts: dict[str, HostPace] = {}

    async def of(self, host: str, *, refresh: bool = False) -> HostPace:
        """The one pace of `host`; `refresh` reads again what was promised to it."""
        from .models import HostState

        pace = self._hosts.setdefault(host, HostPace(host, concurrency=self._concurrency))
        if refresh and (state := await HostState.objects.filter(host=host).afirst()):
            pace.park(state.not_before)
        return pace

    async def remember(self, pace: HostPace, reason: str) -> None:
        """Keep a host's pause beyond the life of this process."""
        from .models import HostState

        if pace.not_before is not None:
            await HostState.objects.aupdate_or_create(
                host=pace.host, defaults={"not_before": pace.not_before, "reason": reason}
            )


_shared: "WeakKeyDictionary[asyncio.AbstractEventLoop, Paces]" = WeakKeyDictionary()


def shared_paces() -> Paces:
    """The paces that all extractors of the running event loop share."""
    return _shared.setdefault(asyncio.get_running_loop(), Paces())


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


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
