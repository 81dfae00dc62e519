"""The front page, which names what there is, and the health of the program."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from pyarrow import fs

from raw_store import feeds
from raw_store.durability import open_folder
from raw_store.models import Segment
from reshape.models import ModelState, derived_models

from ..access import Caller
from ..access.middleware import caller_of_request


@require_safe
async def front_page(request: HttpRequest) -> HttpResponse:
    """Say what the program is, where its doors are, and what it holds."""
    caller = await caller_of_request(request)
    response = await sync_to_async(render)(
        request, "api/front_page.html", {"sources": await sync_to_async(_sources)(caller)}
    )
    response["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    )
    return response


@require_safe
async def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database and the archive answer, 503 with the reason otherwise."""
    health = await sync_to_async(_health)()
    return JsonResponse(health, status=200 if health["status"] == "ok" else 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    name: str
    row_count: int | None


def _sources(caller: Caller) -> list[dict[str, Any]]:
    """The sources with their models and how many rows the last load left in each."""
    counts = dict(ModelState.objects.values_list("table", "row_count"))
    tables: dict[str, list[_Table]] = {feed.source: [] for feed in feeds.all_feeds()}
    for model in derived_models():
        tables.setdefault(model._meta.app_label, []).append(
            _Table(name=model.__name__, row_count=counts.get(model._meta.db_table))
        )
    return [{"name": name, "tables": tables[name]} for name in sorted(tables) if caller.sees(name)]


def _health() -> dict[str, Any]:
    try:
        segment_count = Segment.objects.count()
    except DatabaseError as error:
        return _unwell(f"The database does not answer: {error}")
    try:
        filesystem, root = open_folder(settings.ARCHIVE_URL)
        is_there = filesystem.get_file_info(root).type == fs.FileType.Directory
    except (OSError, pa.ArrowException) as error:
        return _unwell(f"The archive does not answer: {error}")
    # The first payload makes the folder: until then there is none.
    if segment_count and not is_there:
        return _unwell(
            f"The archive is not at {settings.ARCHIVE_URL}, where {segment_count} segments "
            "are expected. Mount it, or set ARCHIVE_URL."
        )
    return {"status": "ok", "segment_count": segment_count}


def _unwell(reason: str) -> dict[str, Any]:
    return {"status": "unavailable", "reason": reason}
