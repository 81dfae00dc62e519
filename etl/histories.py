"""The history of a row as people read it, and of a whole model as a file."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from raw_store.archive import Archive
from raw_store.errors import closest_first
from reshape.errors import HistoryUnknown
from reshape.files import new_duckdb, new_file
from reshape.history import State, write_history
from reshape.kept_history import table_of
from reshape.models import Derived, derived_models
from reshape.sql import quoted, quoted_name

from .telling import many, shown


def model_named(label: str) -> type[Derived]:
    """The derived model with this label, in any case. Raises `HistoryUnknown`, naming others."""
    known = {model._meta.label: model for model in derived_models()}
    for name, model in known.items():
        if name.lower() == label.lower():
            return model
    listed = ", ".join(closest_first(label, known)[:5]) or "none yet"
    raise HistoryUnknown(
        f"There is no derived model {label!r}; write SOURCE.MODEL. Closest first: {listed}."
    )


def write_into(model: type[Derived], file: Path) -> int:
    """Write every state of every row into a new file; return how many there are.

    `FILE.parquet` has one row per state; `FILE.duckdb` the same as the table TABLE_history.
    """
    if file.suffix == ".parquet":
        with new_file(file) as temporary:
            return write_history(model, temporary)
    if file.suffix != ".duckdb":
        raise HistoryUnknown(f"{file} is neither .parquet nor .duckdb: name one of these.")
    with new_duckdb(file) as connection:
        parquet = file.with_name(f".{file.name}.parquet.tmp")
        try:
            count = write_history(model, parquet)
            connection.execute(
                f"CREATE TABLE {quoted_name(table_of(model))} AS "
                f"FROM read_parquet({quoted(str(parquet))})"
            )
        finally:
            parquet.unlink(missing_ok=True)
    return count


def as_plain(state: State) -> dict[str, Any]:
    """A state as plain values, for `--json`."""
    return {
        "valid_from": state.valid_from.isoformat(),
        "valid_to": state.valid_to and state.valid_to.isoformat(),
        "fetch_id": str(state.fetch_id),
        "values": state.values,
    }


def as_text(model: type[Derived], key: Sequence[str], states: Sequence[State]) -> Iterator[str]:
    """The lines that a terminal shows: each state, what changed, and which payload said so."""
    named = f"{model._meta.label} {', '.join(key)}"
    if not states:
        yield f"{named}: no payload that counted has ever mentioned it"
        return
    yield f"{named}: {many(len(states), 'state')}"
    before: State | None = None
    addresses = _addresses(states)
    for state, after in pairwise([*states, None]):
        assert state is not None
        until = f"{state.valid_to:%Y-%m-%d %H:%M:%S}" if state.valid_to else "now"
        lasted = f"  ({_whole_seconds(state.lasted)})" if state.lasted else ""
        yield f"{state.valid_from:%Y-%m-%d %H:%M:%S} → {until}{lasted}"
        if before is None or before.valid_to != state.valid_from:
            yield from (f"    {name} = {shown(value)}" for name, value in state.values.items())
        else:
            yield from (
                f"    {name}: {shown(before.values[name])} → {shown(value)}"
                for name, value in state.values.items()
                if value != before.values[name]
            )
        yield f"    said by {state.fetch_id}  {addresses.get(str(state.fetch_id), '')}".rstrip()
        if state.valid_to and (after is None or after.valid_from != state.valid_to):
            yield f"{state.valid_to:%Y-%m-%d %H:%M:%S}   gone"
        before = state


def _addresses(states: Sequence[State]) -> dict[str, str]:
    """Fetch → the address it asked for, where it is in the archive."""
    payloads = Archive().read_many(
        [state.fetch_id for state in states], bodies=False, on_damaged=lambda _: None
    )
    return {str(fetch_id): payload.url for fetch_id, payload in payloads.items()}


def _whole_seconds(lasted: timedelta | None) -> str:
    return str(lasted).partition(".")[0]
