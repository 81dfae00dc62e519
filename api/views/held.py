"""The page `/held`: rows that wait for the target of a link, or for a column nobody gave yet.

Django's admin takes no composite keys; this page shows what `manage.py held` does.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from raw_store import feeds
from reshape.models import HeldRow, derived_models
from reshape.waiting import groups_of, rows_of, sentence, target_model

from ..access import Caller
from ..access.middleware import caller_of_request

LINES = 500
"""At most so many groups, and so many rows."""


@require_safe
async def held_page(request: HttpRequest) -> HttpResponse:
    """Show what rows wait for, and the rows themselves; of one source with `?source=NAME`."""
    caller = await caller_of_request(request)
    found = await sync_to_async(_found)(caller, request.GET.get("source", ""))
    response = await sync_to_async(render)(request, "api/held.html", found)
    response["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    )
    response["Cache-Control"] = "no-store"
    return response


def _found(caller: Caller, source: str) -> dict[str, Any]:
    known = {feed.source for feed in feeds.all_feeds()}
    known |= {model._meta.app_label for model in derived_models()}
    wanted = {name for name in known if caller.sees(name) and source in ("", name)}
    held = HeldRow.objects.filter(source__in=wanted)
    count = held.count()
    return {
        "source": source,
        "row_count": count,
        "groups": [_told(each) for each in groups_of(held)[:LINES]],
        "rows": [_told(each) for each in rows_of(held)[:LINES]],
        "left_out": max(0, count - LINES),
    }


def _told(entry: dict[str, Any]) -> dict[str, Any]:
    shown = {**entry, "target_model": target_model(entry["model"], entry["field"])}
    return {**entry, "sentence": sentence(shown)}
