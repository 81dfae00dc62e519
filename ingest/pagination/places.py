"""Places in a page: `meta.next_cursor`, `data.-1.id`, and what stands there."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ExtractorFailed

if TYPE_CHECKING:
    from ..response import Response

MISSING: Any = object()


def body_of(response: "Response") -> Any:
    """The page's JSON. Raises `ExtractorFailed` where it is none."""
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ExtractorFailed(
            f"Page {response.payload.url} is not JSON, so nothing says where the listing goes on: "
            f"{error}. `manage.py archive show {response.payload.fetch_id}` shows it."
        ) from None


def look(value: Any, place: str, response: "Response") -> Any:
    """What stands at `place`: names and positions (`-1` is the last) with dots between them.

    `MISSING` where the last name is not there or a position is beyond the end. What leads there
    must be there: raises `ExtractorFailed` naming what was found instead.
    """
    parts = [part for part in place.split(".") if part]
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if isinstance(value, dict):
            if part not in value and not is_last:
                raise _lost(place, part, f"an object with {_names(value)}", response)
            value = value.get(part, MISSING)
        elif isinstance(value, list) and part.lstrip("-").isdecimal():
            position = int(part)
            if not -len(value) <= position < len(value):
                return MISSING
            value = value[position]
        elif value is None:
            return MISSING
        else:
            raise _lost(place, part, f"a {type(value).__name__}", response)
    return value


def put(value: Any, place: str, new: Any) -> Any:
    """A copy of a JSON value with `new` at `place`; objects on the way there are made."""
    first, _, rest = place.partition(".")
    held = dict(value) if isinstance(value, dict) else {}
    held[first] = put(held.get(first), rest, new) if rest else new
    return held


def count_items(response: "Response", place: str | None) -> int | None:
    """How many items a page holds: those at `place`, or of a page that is one list; else None.

    Raises `ExtractorFailed` where `place` holds no list.
    """
    if place is None:
        body = _body_or_none(response)
        return len(body) if isinstance(body, list) else None
    found = look(body_of(response), place, response)
    if found is None:
        return 0
    if isinstance(found, Sequence | dict) and not isinstance(found, str):
        return len(found)
    what = "nothing" if found is MISSING else f"a {type(found).__name__}"
    raise ExtractorFailed(
        f"Page {response.payload.url} has {what} at items={place!r}, where a list is expected. "
        f"`manage.py archive show {response.payload.fetch_id}` shows it."
    )


def _body_or_none(response: "Response") -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _lost(place: str, part: str, found: str, response: "Response") -> ExtractorFailed:
    return ExtractorFailed(
        f"Page {response.payload.url} has nothing at {place!r}: there is {found} where {part!r} "
        f"is looked for. `manage.py archive show {response.payload.fetch_id}` shows it."
    )


def _names(value: dict[str, Any]) -> str:
    shown = ", ".join(sorted(map(str, value))[:8])
    return shown or "nothing in it"
