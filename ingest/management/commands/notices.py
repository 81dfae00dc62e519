"""`manage.py notices list|test|retry`: who was told what, and whether they can be reached."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ingest.models import Notice
from ingest.notices.channels import all_channels
from ingest.notices.outbox import deliver_due, send_again, test_notices
from raw_store import commands


class Command(commands.Command):
    help = (
        "Notices of runs that failed, recovered or finished. NOTICES says who is told: "
        "docs/notices.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="the newest notices and what became of them")
        listing.add_argument("--limit", type=int, default=20, help="how many (20)")
        actions.add_parser("test", help="tell every channel now that this is a test")
        actions.add_parser("retry", help="deliver now what waits or was given up")

    def handle(self, *, action: str, limit: int = 20, **options: Any) -> None:
        if action == "list":
            self._list(limit)
        elif not all_channels():
            raise CommandError(
                'NOTICES names no channel. Set it, for example NOTICES="mailto:ops@example.org".'
            )
        elif action == "test":
            self._test()
        else:
            send_again(Notice.objects.exclude(given_up_at=None))
            self.stdout.write(f"{deliver_due(also_waiting=True)} delivered")

    def _list(self, limit: int) -> None:
        for channel in all_channels():
            told = ", ".join(sorted(channel.events))
            whose = f" of {', '.join(sorted(channel.sources))}" if channel.sources else ""
            self.stdout.write(f"{channel.name}: {told}{whose}")
        for notice in Notice.objects.order_by("-created_at")[: max(limit, 0)]:
            what = f"{notice.feed} {notice.event}".strip()
            self.stdout.write(
                f"{notice.created_at:%Y-%m-%d %H:%M:%S}  {notice.channel}  {what}  {_fate(notice)}"
            )

    def _test(self) -> None:
        tests = test_notices(datetime.now(UTC))
        deliver_due()
        unreached = 0
        for notice in Notice.objects.filter(pk__in=[each.pk for each in tests]):
            unreached += notice.delivered_at is None
            self.stdout.write(f"{notice.channel}: {_fate(notice)}")
        if unreached:
            raise CommandError(f"{unreached} of {len(tests)} channels could not be told.")


def _fate(notice: Notice) -> str:
    if notice.delivered_at:
        return "delivered"
    why = f": {notice.error}" if notice.error else ""
    return f"{'given up' if notice.given_up_at else 'waiting'}{why}"
