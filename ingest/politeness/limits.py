"""The limits of one host, as values: what is in force, and how it changes with what it answers.

Nothing here reads a clock or a database. Times are seconds since 1970, rates requests a second.
"""

from dataclasses import dataclass, field, replace
from typing import Self

HOST_CONCURRENCY = 8
"""Requests at a time, where nobody says otherwise."""
SLOWEST = 1 / 60
"""A rate is lowered to no less than one request a minute; `Retry-After` asks for longer pauses."""
RECOVERY_SECONDS = 60.0
"""A lowered rate rises by a tenth after so many seconds in which requests succeeded."""
_STEP = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a feed says of how each host it asks is to be asked."""

    rate: float | None = None
    concurrency: int | None = None

    def __bool__(self) -> bool:
        return self.rate is not None or self.concurrency is not None


NOTHING_DECLARED = Declared()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How one host is to be asked."""

    not_before: float = 0.0
    """Nothing may be sent before."""
    reason: str = ""
    """Why, in words."""
    rate: float | None = None
    """Lowered by what the host answered; None when it is not."""
    recovers_to: float | None = None
    """The rate at which a lowered rate is none any more."""
    changed_at: float = 0.0
    """When `rate` was lowered or raised last."""
    consecutive_failures: int = 0
    quota_rate: float | None = None
    """Learned from rate-limit headers; in force until `quota_until`."""
    quota_until: float = 0.0
    crawl_delay: float | None = None
    """Seconds between requests, from robots.txt."""
    declared: dict[str, Declared] = field(default_factory=dict)
    """By feed. The strictest counts."""
    set_rate: float | None = None
    set_concurrency: int | None = None
    """What an operator set, in place of what feeds declare."""

    def concurrency(self, default: int = HOST_CONCURRENCY) -> int:
        """Requests at a time, over all processes."""
        if self.set_concurrency is not None:
            return self.set_concurrency
        told = [each.concurrency for each in self.declared.values() if each.concurrency]
        return min(told, default=default)

    def effective_rate(self, now: float) -> float | None:
        """The strictest of all rates in force, or None where there is none."""
        told = [self.rate] if self.rate else []
        if self.quota_rate and self.quota_until > now:
            told.append(self.quota_rate)
        if self.crawl_delay:
            told.append(1 / self.crawl_delay)
        if self.set_rate is not None:
            told += [self.set_rate] if self.set_rate else []
        elif self.declared:
            told += [each.rate for each in self.declared.values() if each.rate]
        return min(told) if told else None

    def gap(self, now: float) -> float:
        """Seconds between the beginnings of two requests; 0 where no rate is in force."""
        rate = self.effective_rate(now)
        return 1 / rate if rate else 0.0

    def slowed(self, *, sent_at: float, observed: float, now: float) -> Self:
        """After a 429 or 503: half the rate, `observed` where none was in force.

        Requests that were under way when it was lowered do not lower it again.
        """
        if sent_at <= self.changed_at and self.rate is not None:
            return self
        before = min(self.effective_rate(now) or observed, observed)
        ceiling = max(self.recovers_to or 0.0, before)
        slower = max(before / 2, SLOWEST)
        if self.rate is not None:
            slower = min(slower, self.rate)
        return replace(self, rate=slower, recovers_to=ceiling, changed_at=now)

    def recovered(self, now: float) -> Self:
        """After a success: a tenth faster, at most once in `RECOVERY_SECONDS`."""
        if self.rate is None or now - self.changed_at < RECOVERY_SECONDS:
            return self
        rate = self.rate * _STEP
        if self.recovers_to is None or rate >= self.recovers_to:
            return replace(self, rate=None, recovers_to=None, changed_at=now)
        return replace(self, rate=rate, changed_at=now)

    def parked(self, until: float, reason: str) -> Self:
        """Send nothing before `until`; an earlier promise to wait longer stands."""
        return replace(self, not_before=until, reason=reason) if until > self.not_before else self

    def rationed(self, rate: float, until: float, now: float) -> Self:
        """At most `rate` until `until`, in place of what an earlier answer allowed."""
        return replace(self, quota_rate=rate, quota_until=max(until, now))
