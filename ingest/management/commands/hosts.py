"""`manage.py hosts list|show|set|forget`: how each host is asked, and how to mend that."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.core.management.base import CommandError, CommandParser

from ingest.models import HostLease, HostState
from ingest.politeness.limits import HOST_CONCURRENCY, Limits
from ingest.politeness.rows import limits_of
from ingest.politeness.store import Store
from ingest.registry import parse_rate
from raw_store import commands


class Command(commands.Command):
    help = (
        "How hosts are asked: rate, requests at a time, pauses. What is learned of a host holds "
        "for all feeds, processes and shards. docs/politeness.md tells the rules."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="every host that was asked, the paused ones first")
        showing = actions.add_parser("show", help="everything on one host, and who asks it now")
        setting = actions.add_parser("set", help="set limits in place of what feeds declare")
        forgetting = actions.add_parser(
            "forget", help="forget what was learned: pauses, a lowered rate, failures"
        )
        for each in (showing, setting, forgetting):
            each.add_argument("host", help="with its port, where the address gives one")
        setting.add_argument("--rate", help="5/s, 100/m or 1000/h; none takes it back")
        setting.add_argument("--concurrency", help="requests at a time; none takes it back")

    def handle(self, *, action: str, host: str = "", **options: Any) -> None:
        if action == "list":
            self._list()
            return
        if action != "set" and not HostState.objects.filter(host=host).exists():
            raise CommandError(
                f"Nothing is known of {host!r}; `manage.py hosts list` names the known ones."
            )
        if action == "set":
            self._set(host, options["rate"], options["concurrency"])
        elif action == "forget":
            self._change(host, _forgotten)
            self.stdout.write(f"{host}: forgotten. Running processes know within two seconds.")
            return
        self._show(host)

    def _list(self) -> None:
        now = datetime.now(UTC)
        rows = [("HOST", "RATE", "AT ONCE", "FAILURES", "NOT BEFORE", "REASON")]
        states = list(HostState.objects.order_by("host"))
        states.sort(key=lambda state: not (state.not_before and state.not_before > now))
        for state in states:
            limits = limits_of(state)
            is_paused = bool(state.not_before and state.not_before > now)
            rows.append(
                (
                    state.host,
                    _as_rate(limits.effective_rate(now.timestamp())),
                    str(limits.concurrency()),
                    str(limits.consecutive_failures),
                    f"{state.not_before:%Y-%m-%d %H:%M:%S}" if is_paused else "-",
                    state.reason if is_paused else "",
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())

    def _show(self, host: str) -> None:
        state = HostState.objects.get(host=host)
        limits, now = limits_of(state), datetime.now(UTC)
        moment = now.timestamp()
        self.stdout.write(host)
        if limits.not_before > moment:
            self.stdout.write(f"  nothing before {state.not_before:%Y-%m-%d %H:%M:%S} UTC")
            self.stdout.write(f"  because it {limits.reason}")
        self.stdout.write(f"  rate in force: {_as_rate(limits.effective_rate(moment))}")
        self.stdout.write(f"  requests at a time: {limits.concurrency()}")
        self.stdout.write(f"  failures in a row: {limits.consecutive_failures}")
        if limits.rate is not None:
            self.stdout.write(f"  lowered to {_as_rate(limits.rate)} after it complained")
        if limits.quota_until > moment:
            self.stdout.write(f"  by its rate-limit headers: {_as_rate(limits.quota_rate)}")
        if limits.crawl_delay:
            self.stdout.write(f"  by its robots.txt: {limits.crawl_delay:g} s apart")
        for feed, told in sorted(limits.declared.items()):
            self.stdout.write(
                f"  {feed} declares: rate {_as_rate(told.rate)}, at a time "
                f"{told.concurrency or HOST_CONCURRENCY}"
            )
        if limits.set_rate is not None or limits.set_concurrency is not None:
            self.stdout.write(
                f"  set by hand: rate {_as_rate(limits.set_rate)}, at a time "
                f"{limits.set_concurrency or '-'}"
            )
        for lease in HostLease.objects.filter(host=host, expires_at__gt=now).order_by("machine"):
            self.stdout.write(
                f"  asked by process {lease.pid} on {lease.machine}: up to {lease.slots} at a time"
            )

    def _set(self, host: str, rate: str | None, concurrency: str | None) -> None:
        if rate is None and concurrency is None:
            raise CommandError("Say what to set: --rate 5/s, --concurrency 2, or both.")
        values: dict[str, Any] = {}
        try:
            if rate is not None:
                values["set_rate"] = None if rate == "none" else parse_rate(rate)
            if concurrency is not None:
                values["set_concurrency"] = None if concurrency == "none" else int(concurrency)
        except ValueError as error:
            raise CommandError(str(error)) from error
        if values.get("set_concurrency") is not None and values["set_concurrency"] < 1:
            raise CommandError("--concurrency is 1 or more; `none` takes it back.")
        self._change(host, lambda limits: replace(limits, **values))

    def _change(self, host: str, change: Any) -> None:
        store = Store(
            uuid4(),
            concurrency=HOST_CONCURRENCY,
            clock=lambda: datetime.now(UTC).timestamp(),
            living=set,
        )
        store.change(host, change)


def _forgotten(limits: Limits) -> Limits:
    """What was set by hand stays; feeds declare theirs again with their next run."""
    return Limits(set_rate=limits.set_rate, set_concurrency=limits.set_concurrency)


def _as_rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    for unit, seconds in (("s", 1), ("m", 60), ("h", 3600)):
        if rate * seconds >= 1:
            return f"{rate * seconds:.4g}/{unit}"
    return f"{rate * 86400:.4g}/d"
