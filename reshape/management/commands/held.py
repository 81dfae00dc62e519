"""`manage.py held`: rows that wait, and what they wait for."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from raw_store import commands
from raw_store.errors import closest_first
from reshape.models import HeldRow
from reshape.registry import all_transforms
from reshape.waiting import groups_of, rows_of, sentence, target_model

EXAMPLES = """
examples:
  manage.py held                                  what is waited for, and by how many rows
  manage.py held quakes --rows                    each row of one source
"""


class Command(commands.Command):
    help = (
        "List the rows that wait for the target of a foreign key or for a column that no payload "
        "gives yet, grouped by what they wait for. The replay that finds it loads them."
    )
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="?", help="one source only")
        parser.add_argument("--rows", action="store_true", help="list each row, not the groups")
        parser.add_argument("--limit", type=int, default=50, help="lines at most (default 50)")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        source = options["source"]
        known = {transform.source for transform in all_transforms()}
        if source and source not in known:
            listed = ", ".join(closest_first(source, known)) or "none yet"
            raise CommandError(
                f"There is no source {source!r} with a transform. "
                f"Known sources, closest first: {listed}."
            )
        held = HeldRow.objects.filter(source=source) if source else HeldRow.objects.all()
        found = rows_of(held) if options["rows"] else groups_of(held)
        for entry in found[: options["limit"]]:
            shown = {**entry, "target_model": target_model(entry["model"], entry["field"])}
            if options["json"]:
                self.stdout.write(json.dumps(shown, default=str))
            else:
                self.stdout.write(sentence(shown))
        if not options["json"]:
            self._close(held.count(), found.count(), options["limit"])

    def _close(self, row_count: int, line_count: int, limit: int) -> None:
        if not row_count:
            self.stdout.write("No row is held.")
            return
        if line_count > limit:
            more = line_count - limit
            self.stdout.write(f"… {more:,} more; --limit {line_count} shows all")
        self.stdout.write(f"{row_count:,} {'row is' if row_count == 1 else 'rows are'} held.")
