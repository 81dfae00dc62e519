"""`manage.py quarantine`: payloads that a transform could not read, and rows that wait."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count, Max, Min

from raw_store.errors import closest_first
from reshape.models import HeldRow, QuarantineEntry
from reshape.registry import all_transforms


class Command(BaseCommand):
    help = (
        "List the payloads that a transform could not read, grouped by what it said. An entry "
        "clears itself in the next replay whose transform can read the payload."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="?", help="one source only")
        parser.add_argument(
            "--held",
            action="store_true",
            help="list instead the rows that wait for the target of a foreign key",
        )
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
        within = {"source": source} if source else {}
        if options["held"]:
            self._show_held(within, options)
        else:
            self._show_entries(within, options)

    def _show_entries(self, within: dict[str, str], options: dict[str, Any]) -> None:
        groups = (
            QuarantineEntry.objects.filter(**within)
            .values("transform", "feed", "error", "message", "model", "field", "value")
            .annotate(
                payload_count=Count("fetch_id"),
                first_fetched_at=Min("fetched_at"),
                last_fetched_at=Max("fetched_at"),
                example=Max("fetch_id"),
            )
            .order_by("-payload_count", "transform", "message")
        )
        for group in groups[: options["limit"]]:
            if options["json"]:
                self.stdout.write(json.dumps(group, default=str))
                continue
            many = "payload" if group["payload_count"] == 1 else "payloads"
            self.stdout.write(
                f"{group['payload_count']:,} {many} of {group['feed']}, "
                f"{group['first_fetched_at']:%Y-%m-%d %H:%M} to "
                f"{group['last_fetched_at']:%Y-%m-%d %H:%M}\n"
                f"    {group['message']}\n"
                f"    look at one: manage.py archive show {group['example']}"
            )
        self._close(groups.count(), options, "No payload is in quarantine.")

    def _show_held(self, within: dict[str, str], options: dict[str, Any]) -> None:
        rows = HeldRow.objects.filter(**within).order_by("model", "field", "key")
        for row in rows[: options["limit"]]:
            if options["json"]:
                shown = {
                    name: str(getattr(row, name)) for name in ("model", "key", "field", "target")
                }
                self.stdout.write(json.dumps({**shown, "fetch_id": str(row.fetch_id)}))
            else:
                self.stdout.write(f"{row.model} {row.key} waits for {row.field} {row.target!r}")
        self._close(rows.count(), options, "No row is held.")

    def _close(self, count: int, options: dict[str, Any], nothing: str) -> None:
        if options["json"]:
            return
        if not count:
            self.stdout.write(nothing)
        elif count > options["limit"]:
            self.stdout.write(f"… {count - options['limit']:,} more; --limit {count} shows all")
