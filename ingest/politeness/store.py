"""The shared truth of politeness: what a process may do with a host, asked of the database.

Two things are handed out, each under a lock on the host's row. A *lease* is a number of requests
that a process may have under way, for some seconds, renewed while it is used. A *span* is a stretch
of time that belongs to one process: where a rate is in force, it sends only in spans of its own,
so two processes never send too close to each other. Either is spent without asking again.

Every method waits for the database. What a killed process held is free once its lease is over, or
at once where its machine can see that it is dead.
"""

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction

from ..models import HostLease, HostState
from .limits import Declared, Limits
from .rows import CHANGING, fill, limits_of, moment

LEASE_SECONDS = 20.0
_TERM = 10.0
"""Where fewer requests are allowed than processes want one, they take turns of so many seconds."""
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a process may do with a host, as of `read_at`."""

    limits: Limits
    slots: int
    """Requests it may have under way."""
    lease_until: float
    is_shared: bool
    """Whether other processes ask the host too."""
    read_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time in which one process alone sends: the last request a gap before its end."""

    start: float
    end: float
    booked_until: datetime
    """The row's value for `end`; still there, nobody booked after it."""


class Store:
    """What the database says of hosts, for the process (or event loop) called `holder`."""

    def __init__(
        self,
        holder: UUID,
        *,
        concurrency: int,
        clock: Callable[[], float],
        living: Callable[[], Iterable[UUID]],
        machine: str | None = None,
    ) -> None:
        self._holder = holder
        self._concurrency = concurrency
        self._clock = clock
        self._living = living
        self._machine = machine or socket.gethostname()

    def read(self, host: str) -> Limits:
        """What is known of a host, without taking part in it."""
        row = HostState.objects.filter(host=host).first()
        return limits_of(row) if row else Limits()

    def claim(
        self, host: str, *, held: int, declared: Mapping[str, Declared] | None = None
    ) -> Standing:
        """Take part in asking a host; there may be no slot for now.

        `held` are the slots that the process uses or may begin to use before it has the answer.
        `declared` is what feeds say; it replaces what they said before.
        """
        with transaction.atomic():
            row = _locked(host)
            limits = limits_of(row)
            merged = {**limits.declared, **(declared or {})}
            merged = {feed: told for feed, told in merged.items() if told}
            if merged != limits.declared:
                limits = replace(limits, declared=merged)
                fill(row, limits)
                row.save(update_fields=["declared"])
            return self._settle(host, limits, held)

    def renew(self, held: Mapping[str, int], released: Iterable[str] = ()) -> dict[str, Standing]:
        """Keep the leases on the hosts of `held`, each with the slots in use (see `claim`), and let
        go of those on `released`. A host that is not in the answer was lost: claim it again."""
        now = self._clock()
        mine = HostLease.objects.filter(holder=self._holder)
        for some in _portions(list(released)):
            mine.filter(host__in=some).delete()
        if held:
            mine.filter(expires_at__gt=moment(now)).update(expires_at=moment(now + LEASE_SECONDS))
        found: dict[str, Standing] = {}
        for some in _portions(sorted(held)):
            rows = HostState.objects.in_bulk(some)
            leases: dict[str, list[HostLease]] = {}
            for lease in HostLease.objects.filter(host__in=some):
                leases.setdefault(lease.host, []).append(lease)
            for host in some:
                listed = leases.get(host, [])
                own = next((each for each in listed if each.holder == self._holder), None)
                row = rows.get(host)
                if own is None or row is None:
                    continue
                limits = limits_of(row)
                others = [each for each in listed if each is not own]
                slots = self._share(limits, others, now)
                is_settled = own.slots == max(slots, held[host]) and not any(
                    each.expires_at.timestamp() <= now or self._is_dead(each) for each in others
                )
                if is_settled:
                    # Whoever takes part meanwhile takes nothing of what is leased.
                    found[host] = Standing(
                        limits=limits,
                        slots=slots,
                        lease_until=own.expires_at.timestamp(),
                        is_shared=bool(others),
                        read_at=now,
                    )
                    continue
                with transaction.atomic():
                    found[host] = self._settle(host, limits_of(_locked(host)), held[host])
        return found

    def book(
        self,
        host: str,
        *,
        requests: int,
        slack: float,
        last_sent: float,
        previous: Span | None,
    ) -> tuple[Limits, Span | None]:
        """A span for so many requests, or none where no rate is in force or the host is parked.

        `slack` is the time by which the process may be late; it lengthens the span.
        """
        with transaction.atomic():
            row = _locked(host)
            limits, now = limits_of(row), self._clock()
            gap = limits.gap(now)
            if not gap or limits.not_before > now:
                return limits, None
            start = max(now, last_sent + gap)
            is_ours = previous is not None and row.booked_until == previous.booked_until
            if row.booked_until and not is_ours:
                start = max(start, row.booked_until.timestamp())
            end = moment(start + gap * requests + slack)
            row.booked_until = end
            row.save(update_fields=["booked_until"])
        return limits, Span(start=start, end=end.timestamp(), booked_until=end)

    def change(self, host: str, change: Callable[[Limits], Limits]) -> Limits:
        """Apply a change to what the database says by now, keep it, and return it."""
        with transaction.atomic():
            row = _locked(host)
            before = limits_of(row)
            after = change(before)
            if after != before:
                fill(row, after)
                row.save(update_fields=CHANGING)
        return after

    def _settle(self, host: str, limits: Limits, held: int) -> Standing:
        """Take what is this process's share now; the host's row is locked."""
        now = self._clock()
        leases = HostLease.objects.filter(host=host)
        leases.filter(expires_at__lte=moment(now)).delete()
        listed = list(leases)
        if dead := [each.holder for each in listed if self._is_dead(each)]:
            leases.filter(holder__in=dead).delete()
        others = [
            each for each in listed if each.holder != self._holder and each.holder not in dead
        ]
        slots = self._share(limits, others, now)
        until = moment(now + LEASE_SECONDS)
        values = {"slots": max(slots, held), "expires_at": until}
        if not leases.filter(holder=self._holder).update(**values):
            HostLease.objects.create(
                host=host,
                holder=self._holder,
                machine=self._machine,
                pid=os.getpid(),
                **values,
            )
        return Standing(
            limits=limits,
            slots=slots,
            lease_until=until.timestamp(),
            is_shared=bool(others),
            read_at=now,
        )

    def _share(self, limits: Limits, others: Sequence[HostLease], now: float) -> int:
        """The slots this process may have beside what others hold."""
        allowed = limits.concurrency(self._concurrency)
        everyone = sorted([self._holder, *(each.holder for each in others)])
        share = fair_share(allowed, everyone.index(self._holder), len(everyone), now)
        return max(0, min(share, allowed - sum(each.slots for each in others)))

    def _is_dead(self, lease: HostLease) -> bool:
        if lease.machine != self._machine or lease.holder == self._holder:
            return False
        if lease.pid == os.getpid():
            return lease.holder not in set(self._living())
        try:
            os.kill(lease.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def fair_share(slots: int, rank: int, count: int, now: float) -> int:
    """How many of `slots` the one at `rank` (0 is the first) of `count` holders may have.

    Where there are fewer than holders, who has one changes with time, for all in the same way.
    """
    if slots < count:
        rank = (rank + int(now / _TERM)) % count
    return slots // count + (rank < slots % count)


def _locked(host: str) -> HostState:
    locked = HostState.objects.select_for_update().filter(host=host)
    row = locked.first()
    if row is None:
        HostState.objects.get_or_create(host=host)
        row = locked.get()
    return row


def _portions(hosts: Sequence[str]) -> Iterable[Sequence[str]]:
    return (hosts[at : at + _AT_ONCE] for at in range(0, len(hosts), _AT_ONCE))
