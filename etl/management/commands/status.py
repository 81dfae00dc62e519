"""`manage.py status`: where each source stands."""

import json
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from etl.status import SourceStatus, TransformStatus, source_status
from etl.telling import many
from raw_store import commands, feeds
from raw_store.errors import ArchiveError

EXAMPLES = """
examples:
  manage.py status                                every source
  manage.py status quakes                         one of them
  manage.py status --json                         for programs
"""


class Command(commands.Command):
    help = (
        "Show where each source stands: what is archived, what its transforms have parsed, whether "
        "their code changed since the last replay, and what waits. Changes nothing."
    )
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="*", help="sources to show; all of them if none")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        sources = options["source"] or sorted({feed.source for feed in feeds.all_feeds()})
        try:
            found = [source_status(source) for source in sources]
        except (ArchiveError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        if not found:
            self.stdout.write("No source is installed; `manage.py startsource NAME` begins one.")
        for status in found:
            if options["json"]:
                self.stdout.write(json.dumps(asdict(status), default=str))
            else:
                self._show(status)

    def _show(self, status: SourceStatus) -> None:
        replayed = f"{status.replayed_at:%Y-%m-%d %H:%M:%S}" if status.replayed_at else "never"
        version = status.data_version or 0
        self.stdout.write(f"{status.name}: data version {version:,}, last replay {replayed}")
        for feed in status.feeds:
            last = f"{feed.last_fetched_at:%Y-%m-%d %H:%M:%S}" if feed.last_fetched_at else "never"
            count = many(feed.payload_count, "payload")
            self.stdout.write(f"  feed {feed.name}: {count}, last fetch {last}")
        for transform in status.transforms:
            self.stdout.write(
                f"  transform {transform.name}@{transform.fingerprint}: {_parsed(transform)}"
            )
        for name in status.changed_transforms:
            if name not in {transform.name for transform in status.transforms}:
                self.stdout.write(f"  transform {name}: gone since the last replay")
        if status.changed_transforms:
            self.stdout.write(f"  {_next_step(status)}")
        if failed := status.failed_assert:
            self.stdout.write(
                f"  not loaded since {failed.failed_at:%Y-%m-%d %H:%M:%S}: rollup {failed.rollup} "
                f"asserts `{failed.assertion}`; in the way: {', '.join(failed.samples)}"
            )
        if status.limit_exceeded:
            self.stdout.write(f"  {status.limit_exceeded}")
        payloads = many(status.quarantined_count - status.rejected_count, "payload")
        rows = f" and {many(status.rejected_count, 'row')}" if status.rejected_count else ""
        self.stdout.write(
            f"  {payloads}{rows} in quarantine, {many(status.held_count, 'row')} held"
        )


def _parsed(transform: TransformStatus) -> str:
    left = transform.payload_count - transform.parsed_count
    if transform.is_changed:
        return f"code changed since the last replay: {many(left, 'payload')} to parse"
    return f"parsed {transform.parsed_count:,} of {many(transform.payload_count, 'payload')}"


def _next_step(status: SourceStatus) -> str:
    command = f"`manage.py replay {status.name}`"
    if status.on_change == "auto":
        return f"the server replays it when it starts, and after the next run; or run {command}"
    return (
        f"the rows stay as they are until you run {command} (REPLAY_ON_CHANGE says "
        f"{status.on_change}); --diff shows what it would change"
    )
