"""What held rows wait for, told to people: by the command `held` and by the page `/held`."""

from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import Count, Max, QuerySet

from .models import HeldRow


def groups_of(held: "QuerySet[HeldRow]") -> "QuerySet[HeldRow, Any]":
    """Held rows by what they wait for, the most first: `row_count`, and an `example` key."""
    return (
        held.values("source", "model", "field", "target")
        .annotate(row_count=Count("key"), example=Max("key"))
        .order_by("-row_count", "model", "field", "target")
    )


def rows_of(held: "QuerySet[HeldRow]") -> "QuerySet[HeldRow, Any]":
    """Held rows one by one."""
    return held.values("source", "model", "key", "field", "target", "fetch_id").order_by(
        "model", "field", "key"
    )


def sentence(entry: dict[str, Any]) -> str:
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


def target_model(label: str, name: str) -> str:
    """The model that a foreign key leads to; empty where the column itself is waited for.

    Its source or its field may be gone from the code since the last replay.
    """
    try:
        field = apps.get_model(label)._meta.get_field(name)
    except (LookupError, FieldDoesNotExist):
        return ""
    return field.target_field.model._meta.label if isinstance(field, models.ForeignKey) else ""
