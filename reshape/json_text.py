"""JSON as derived tables hold it: one text for equal values, and none that a database refuses."""

import re
from typing import Any

import orjson

# Not where the backslash is escaped itself.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

# A number that can be written in two ways, or text that looks like one.
_TWO_WAYS = re.compile(rb"\de\+?1[6-9]|-0\.0")


def json_text(value: Any) -> str:
    """The text of a value for a JSON column. Raises `ValueError` saying what was expected."""
    try:
        text = canonical_json(value)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if "\\u0000" in text and _NUL.search(text):
        raise ValueError("it holds a NUL character, which databases refuse")
    return text


def canonical_json(value: Any) -> str:
    """JSON text with sorted keys, so that equal values are equal text."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if (b"e+1" in text or b"e1" in text or b"-0.0" in text) and _TWO_WAYS.search(text):
        text = orjson.dumps(_one_way(orjson.loads(text)), option=orjson.OPT_SORT_KEYS)
    return text.decode()


def _one_way(value: Any) -> Any:
    """The value with its numbers as PostgreSQL gives them back: no negative zero, and what is
    whole without an exponent."""
    if isinstance(value, dict):
        return {key: _one_way(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_one_way(each) for each in value]
    if isinstance(value, float):
        is_whole_number = abs(value) >= 1e16 and -(2.0**63) <= value < 2.0**64
        return int(value) if is_whole_number else value + 0.0
    return value
