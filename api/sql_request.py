"""A request for SQL, read: the statement, its parameters, the form and the limits.

It is a GET with everything in its address, so that an answer can be linked to; a POST of a
JSON object; or a POST of the bare statement as `application/sql`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, cast

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from warehouse.sql_pool.asked import FORMS, Asked, Form, Parameters

from .bodies import read_json

LONGEST = 100_000
MEDIA_TYPES: dict[Form, str] = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8; header=present",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
_MEMBERS = ("sql", "parameters", "format", "rows", "timeout")


class RequestRefused(Exception):
    """A request that cannot be read; says why, and with which status to answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def read_request(request: HttpRequest) -> Asked:
    """What a request asks. Raises `RequestRefused`."""
    given = _given(request)
    for name in given:
        if name not in _MEMBERS:
            raise RequestRefused(f"There is no {name!r}; known are {', '.join(_MEMBERS)}.")
    sql = given.get("sql")
    if not isinstance(sql, str) or not sql.strip():
        raise RequestRefused("`sql` is missing: the statement to answer.")
    if len(sql) > LONGEST:
        raise RequestRefused(f"A statement may have {LONGEST:,} characters.", 413)
    rows = _number(given, "rows", settings.SQL_ROWS)
    seconds = _number(given, "timeout", settings.SQL_TIMEOUT)
    return Asked(
        sql=sql,
        parameters=_parameters(given.get("parameters")),
        form=_form(request, given.get("format")),
        rows=None if rows is None else int(rows),
        rows_allowed=settings.SQL_ROWS,
        seconds=settings.SQL_TIMEOUT if seconds is None else seconds,
    )


def accepts(request: HttpRequest) -> list[str]:
    """The media types a client reads, the best first."""
    ranked = sorted(request.accepted_types, key=lambda each: each.quality, reverse=True)
    return [f"{each.main_type}/{each.sub_type}" for each in ranked if each.quality > 0]


def _given(request: HttpRequest) -> Mapping[str, Any]:
    address = request.GET.dict()
    if request.method != "POST":
        return address
    try:
        body = request.body.decode()
    except UnicodeDecodeError:
        raise RequestRefused("The request is not UTF-8.") from None
    except RequestDataTooBig:
        raise RequestRefused(f"A statement may have {LONGEST:,} characters.", 413) from None
    if request.content_type == "application/sql":
        return {**address, "sql": body}
    if request.content_type != "application/json":
        raise RequestRefused(
            "A statement is posted as application/sql, or in a JSON object as application/json.",
            415,
        )
    try:
        found = read_json(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RequestRefused('The request is no JSON object such as {"sql": "SELECT 1"}.')
    return {**address, **found}


def _parameters(given: Any) -> Parameters | None:
    if isinstance(given, str):
        try:
            given = read_json(given)
        except ValueError:
            raise RequestRefused(f"`parameters` is no JSON: {given[:100]!r}.") from None
    if given is not None and not isinstance(given, list | dict):
        raise RequestRefused(
            "`parameters` is a JSON list for ? and $1, or an object for $name: "
            f"{str(given)[:100]!r} is neither."
        )
    try:
        # As they are passed on to the process that answers; what is infinite would become null.
        json.dumps(given, allow_nan=False)
        orjson.dumps(given)
    except (TypeError, ValueError, RecursionError):
        raise RequestRefused(
            "`parameters` holds a number beyond 64 bits, or is nested too deeply. Send such a "
            "number as text, and cast it: $1::HUGEINT."
        ) from None
    return cast("Parameters | None", given)


def _form(request: HttpRequest, given: Any) -> Form:
    if given is not None:
        if given not in FORMS:
            raise RequestRefused(f"There is no format {given!r}; there are {', '.join(FORMS)}.")
        return cast("Form", given)
    by_type = {kind.partition(";")[0]: form for form, kind in MEDIA_TYPES.items()}
    read = accepts(request)
    for kind in read:
        if kind in by_type:
            return by_type[kind]
        if kind == "text/*":
            return "csv"
    if not read or {"*/*", "application/*", "text/html"} & set(read):
        return "json"
    raise RequestRefused(
        f"Nothing that the client reads ({', '.join(read)}) is among {', '.join(by_type)}.", 406
    )


def _number(given: Mapping[str, Any], name: str, most: float) -> float | None:
    found = given.get(name)
    if found is None or found == "":
        return None
    try:
        number = float(found)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(found, bool) or not 0 < number <= most:
        raise RequestRefused(f"`{name}` is a number above 0 and up to {most:g}, not {found!r}.")
    if name == "rows" and number != int(number):
        raise RequestRefused(f"`rows` is a whole number, not {found!r}.")
    return number
