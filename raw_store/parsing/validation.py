"""Values validated by a transform's Pydantic model; only where one is asked for and installed."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from raw_store.errors import BodyInvalid, ValidatorMissing

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_SHOWN = 200
"""Characters of a value that an error shows."""


def validated_json(document: str | bytes, as_: Any, place: str = "") -> Any:
    """A JSON document as `as_`: a model, or any type that Pydantic knows, `list[Model]` too.

    JSON's rules apply: a strict model takes a date from text, for JSON has no dates.
    """
    return _checked(_adapter(as_).validate_json, document, as_, place)


def validated_strings(row: dict[Any, Any], as_: Any, place: str = "") -> Any:
    """A row of texts as `as_`: numbers and dates are read from their text."""
    return _checked(_adapter(as_).validate_strings, row, as_, place)


def _checked(validate: Callable[[Any], Any], given: Any, as_: Any, place: str) -> Any:
    from pydantic import ValidationError

    try:
        return validate(given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        first = problems[0]
        field = _path(first["loc"])
        value = _shown(first["input"])
        where = ", ".join(filter(None, [place, field])) or "the whole of it"
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BodyInvalid(
            f"The body does not fit {_name(as_)}: {where}: {first['msg']}; it is {value}{more}.",
            field=field,
            value=value,
        ) from None


def _path(steps: tuple[int | str, ...]) -> str:
    """`features[3].properties.mag`"""
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _shown(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"


def _name(as_: Any) -> str:
    return as_.__name__ if isinstance(as_, type) else str(as_)


def _adapter(as_: Any) -> "TypeAdapter[Any]":
    # `int | float` equals `float | int`, and is read otherwise.
    return _adapter_of(as_, "" if isinstance(as_, type) else repr(as_))


@lru_cache(maxsize=256)
def _adapter_of(as_: Any, written: str) -> "TypeAdapter[Any]":
    try:
        from pydantic import TypeAdapter
    except ModuleNotFoundError:
        raise ValidatorMissing(
            f"`as_={_name(as_)}` needs pydantic, which is not installed. "
            f"Install it (`pip install pydantic`), or take the values without `as_`."
        ) from None
    return TypeAdapter(as_)
