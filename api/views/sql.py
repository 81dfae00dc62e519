"""SQL over HTTP: the answer of one statement, streamed; for browsers, a page around it."""

import json
import time
from typing import Any
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt

from warehouse.errors import PoolBusy, QueryTimeout, StatementRefused, TooManyRows, WarehouseError
from warehouse.sql_pool.asked import FORMS, Asked
from warehouse.sql_pool.pool import get_pool

from ..access import SQL
from ..access.middleware import caller_of_request, refuse
from ..access.recognising import is_own_site
from ..sql_request import MEDIA_TYPES, RequestRefused, accepts, read_request

_SHOWN_ROWS = 200
_SHOWN_BYTES = 4_000_000
_SHOWN_LETTERS = 400
_CODES: dict[type[WarehouseError], str] = {
    StatementRefused: "refused",
    QueryTimeout: "timeout",
    TooManyRows: "too_many_rows",
    PoolBusy: "busy",
}
_TABLES = """
SELECT table_name AS name, list(column_name ORDER BY column_index) AS columns
FROM duckdb_columns()
WHERE database_name = 'warehouse' AND schema_name = 'main' AND NOT internal
GROUP BY ALL ORDER BY ALL
"""


@csrf_exempt  # Nothing is changed, and a page of another site is refused by its origin.
async def sql(request: HttpRequest) -> HttpResponseBase:
    """Answer a statement, or show the page to a browser."""
    if request.method not in ("GET", "POST"):
        response = _refuse(405, "method", "A statement comes as a GET or a POST.")
        response["Allow"] = "GET, POST"
        return response
    if not settings.SQL_WORKERS:
        return _refuse(404, "off", "SQL is switched off here: SQL_WORKERS is 0.")
    caller = await caller_of_request(request)
    if not caller.may(SQL):
        return refuse(request, caller, SQL)
    if caller.sources is not None:
        return _refuse(403, "sources", f"{caller.name} sees single sources; SQL sees them all.")
    if not _is_own_page(request):
        return _refuse(403, "site", "SQL is not answered to pages of other sites.")
    if _wants_page(request):
        return await _page(request)
    try:
        asked = read_request(request)
        return await _answered(asked)
    except RequestRefused as error:
        return _refuse(error.status, "request", str(error))
    except WarehouseError as error:
        return _failure(error)


async def _answered(asked: Asked) -> HttpResponseBase:
    answer = await get_pool().ask(asked)
    response = StreamingHttpResponse(answer, content_type=MEDIA_TYPES[asked.form])
    suffix = "arrows" if asked.form == "arrow" else asked.form
    response["Content-Disposition"] = (
        "inline" if asked.form == "json" else f'attachment; filename="answer.{suffix}"'
    )
    response["Cache-Control"] = "no-store"
    response["Vary"] = "Accept"
    return response


async def _page(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("sql", "")
    shown: dict[str, Any] = {"sql": text, "shown_rows": _SHOWN_ROWS}
    status = 200
    if text.strip():
        started = time.monotonic()
        try:
            asked = read_request(request)
            found = await _whole(asked)
        except (RequestRefused, WarehouseError) as error:
            shown["error"] = str(error)
            status = getattr(error, "status", 503 if isinstance(error, PoolBusy) else 400)
        else:
            shown |= {
                "columns": found["columns"],
                "rows": [[_cell(value) for value in row.values()] for row in found["rows"]],
                "is_cut": found["is_cut"],
                "ms": (time.monotonic() - started) * 1000,
            }
            address = reverse("sql")
            kept = {name: value for name, value in request.GET.items() if name != "format"}
            shown["downloads"] = [
                (form, f"{address}?{urlencode({**kept, 'format': form})}") for form in FORMS
            ]
    shown["tables"] = await _tables()
    response = await sync_to_async(render)(request, "api/sql.html", shown, status=status)
    response["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    )
    response["Cache-Control"] = "no-store"
    response["Vary"] = "Accept"
    return response


async def _whole(asked: Asked) -> dict[str, Any]:
    """The first rows of an answer, at once."""
    cut = Asked(
        sql=asked.sql,
        parameters=asked.parameters,
        form="json",
        rows=min(_SHOWN_ROWS, asked.rows or _SHOWN_ROWS),
        rows_allowed=asked.rows_allowed,
        seconds=asked.seconds,
    )
    answer = await get_pool().ask(cut)
    pieces, size = [], 0
    try:
        async for piece in answer:
            pieces.append(piece)
            size += len(piece)
            if size > _SHOWN_BYTES:
                raise RequestRefused("The rows are too large for a page. Download them.")
    finally:
        answer.close()
    found: dict[str, Any] = json.loads(b"".join(pieces))
    return found


async def _tables() -> list[dict[str, Any]]:
    try:
        found = await _whole(Asked(sql=_TABLES, rows_allowed=1000, seconds=5))
    except WarehouseError:
        # The page says elsewhere what is wrong with the pool or the build.
        return []
    tables: list[dict[str, Any]] = found["rows"]
    return tables


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_LETTERS else f"{text[:_SHOWN_LETTERS]}…"


def _wants_page(request: HttpRequest) -> bool:
    if request.method == "POST" or "format" in request.GET:
        return False
    return "text/html" in accepts(request)


def _is_own_page(request: HttpRequest) -> bool:
    if request.method == "POST":
        return is_own_site(request.scope)  # type: ignore[attr-defined]
    # A link from elsewhere may be followed; a page may not have its reader ask in passing.
    is_followed = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    return is_followed or request.headers.get("Sec-Fetch-Site") in ("same-origin", "none")


def _failure(error: WarehouseError) -> JsonResponse:
    code = _CODES.get(type(error), "failed")
    if code == "busy":
        response = _refuse(503, code, str(error))
        response["Retry-After"] = "5"
        return response
    return _refuse(400, code, str(error))


def _refuse(status: int, code: str, message: str) -> JsonResponse:
    return JsonResponse({"error": message, "code": code}, status=status)
