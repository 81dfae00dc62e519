"""`manage.py held`: rows that wait, and what they wait for."""

import json
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models
from django.db.models import Count, Max, QuerySet

from raw_store.errors import closest_first
from reshape.models import HeldRow
from reshape.registry import all_transforms


class Command(BaseCommand):
    help = (
        "List the rows that wait for the target of a foreign key or for a column that no payload "
        "gives yet, grouped by what they wait for. The replay that finds it loads them."
    )

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
        found = _rows(held) if options["rows"] else _groups(held)
        for entry in found[: options["limit"]]:
            shown = {**entry, "target_model": _target_model(entry["model"], entry["field"])}
            if options["json"]:
                self.stdout.write(json.dumps(shown, default=str))
            else:
                self.stdout.write(_sentence(shown))
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


def _groups(held: "QuerySet[HeldRow]") -> "QuerySet[HeldRow, Any]":
    return (
        held.values("source", "model", "field", "target")
        .annotate(row_count=Count("key"), example=Max("key"))
        .order_by("-row_count", "model", "field", "target")
    )


def _rows(held: "QuerySet[HeldRow]") -> "QuerySet[HeldRow, Any]":
    return held.values("source", "model", "key", "field", "target", "fetch_id").order_by(
        "model", "field", "key"
    )


def _sentence(entry: dict[str, Any]) -> str:
    """What one group or one row waits for."""
    if "key" in entry:
        who, verb = f"{entry['model']} {entry['key']}", "waits"
    else:
        count = entry["row_count"]
        who = f"{count:,} {'row' if count == 1 else 'rows'} of {entry['model']}"
        verb = "waits" if count == 1 else "wait"
    if not entry["target"]:
        what = f"a payload that gives {entry['field']}"
    else:
        what = f"{entry['target_model']} {entry['target']!r} ({entry['field']})"
    example = "" if "key" in entry else f", as {entry['example']}"
    return f"{who} {verb} for {what}{example}"


def _target_model(label: str, name: str) -> str:
    """The model that a foreign key leads to; empty where the column itself is waited for.

    Its source or its field may be gone from the code since the last replay.
    """
    try:
        field = apps.get_model(label)._meta.get_field(name)
    except (LookupError, FieldDoesNotExist):
        return ""
    return field.target_field.model._meta.label if isinstance(field, models.ForeignKey) else ""
