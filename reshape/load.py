"""Load: make the serving database equal to the linked rows, writing only the difference.

All tables of a source, and of the sources that are loaded beside it, change in one
transaction, so a reader sees all of the old rows or all of the new. Foreign keys are
checked when it commits: in between, rows may come and go in any order.
"""

import filecmp
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from django.db import DatabaseError, connection, models, transaction
from django.utils import timezone
from duckdb import DuckDBPyConnection

from raw_store.cycles import rare_collections
from raw_store.progress import Progress

from . import staging
from .copies import present_copy, remember_copy
from .difference import Comparison, Difference, is_shared, live_rows
from .errors import LoadFailed
from .layers import base_of, count_rows
from .models import ModelState, SourceState
from .sql import duck
from .tables import ROWS_PER_BATCH, delete_rows, upsert_rows

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 60
"""How long a load waits for who holds its tables or rows, on PostgreSQL; SQLite waits as long."""

Copies = Mapping[type[models.Model], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one source's tables should hold."""

    source: str
    copies: Copies
    fingerprints: Mapping[str, str] | None = None
    limit_exceeded: str = ""
    inputs: str = ""


@dataclass(slots=True, kw_only=True)
class Loaded:
    """What a load changed."""

    differences: dict[str, Difference] = field(default_factory=dict)
    """Table → what changed in it; every loaded table is there."""
    withheld_count: int = 0
    """Rows that were not deleted because a segment of the source is damaged."""
    beside: dict[str, "Loaded"] = field(default_factory=dict)
    """The sources loaded in the same transaction → what changed in them."""

    @property
    def changed_count(self) -> int:
        return sum(difference.total for difference in self.differences.values())


def settle(copies: dict[type[models.Model], Path]) -> set[str]:
    """Return the tables whose rows differ from their present copy.

    Where they do not differ the new copy is removed, and the present one takes its place; not so
    where that is a layer: beneath it may lie what the archive no longer holds.
    """
    changed = set()
    with duck() as duckdb:
        for model, path in copies.items():
            present = present_copy(model)
            if present == path:
                continue
            if not present or not _is_same(duckdb, model, path, present):
                changed.add(model._meta.db_table)
            elif not base_of(present):
                path.unlink()
                copies[model] = present
    return changed


def _is_same(
    duckdb: DuckDBPyConnection, model: type[models.Model], path: Path, present: Path
) -> bool:
    if base_of(path) or count_rows(path) != count_rows(present):
        # A layer is only written where something differs.
        return False
    # Copies are ordered by key, so equal rows mostly are equal bytes; bytes are quickly compared.
    return (
        filecmp.cmp(path, present, shallow=False)
        or not Comparison(duckdb, model, path, present).difference.total
    )


def load(
    source: str,
    copies: Copies,
    *,
    fingerprints: Mapping[str, str] | None = None,
    trust_copies: bool = False,
    may_delete: bool = True,
    prepare: Callable[[], Iterable[str]] = tuple,
    beside: Iterable[Part] = (),
    limit_exceeded: str = "",
    inputs: str = "",
    progress: bool = False,
) -> Loaded:
    """Make each model's table equal to the rows of its Parquet file; return what changed.

    With `trust_copies` a table is taken to equal its present copy and is not read; without,
    every row is compared with the database and mended. `prepare` runs first, in the same
    transaction, and returns the tables it made anew. Without `may_delete` no row is removed.
    Sources `beside` are loaded in the same transaction. `limit_exceeded` is noted as the reason
    why a replay loads its quarantine alone; `progress` says on standard error how far it is.
    `inputs` is what the rows were linked from.
    Raises `LoadFailed`, having changed nothing.
    """
    part = Part(
        source=source,
        copies=copies,
        fingerprints=fingerprints,
        limit_exceeded=limit_exceeded,
        inputs=inputs,
    )
    try:
        with transaction.atomic(), duck() as duckdb, rare_collections():
            _wait_no_longer_than(LOCK_TIMEOUT_S)
            made = frozenset(prepare())
            ModelState.objects.filter(table__in=made).delete()
            loading = _Loading(duckdb, trust_copies, may_delete, progress, made)
            loaded = _load_part(loading, part)
            for other in beside:
                loaded.beside[other.source] = _load_part(loading, other)
    except DatabaseError as error:
        raise LoadFailed(
            f"The database refused the rows of {source}: {error}. Nothing was changed. "
            f"If the tables are not up to date, run `manage.py migrate`."
        ) from error
    finally:
        staging.release(connection)
    logger.info("loaded source=%s changed=%d", source, loaded.changed_count)
    return loaded


def _wait_no_longer_than(seconds: float) -> None:
    """In this transaction, let a statement fail that waits longer than so for a lock."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {int(seconds * 1000)}")


class _Loading(NamedTuple):
    """How the parts of one load are loaded; see `load`."""

    duckdb: DuckDBPyConnection
    trust_copies: bool
    may_delete: bool
    progress: bool
    made: frozenset[str]
    """The tables that this transaction made anew."""


def _load_part(loading: _Loading, part: Part) -> Loaded:
    """Make the tables of one source equal to its files."""
    loaded = Loaded()
    for model, path in part.copies.items():
        present = present_copy(model) if loading.trust_copies else None
        if present == path:
            loaded.differences[model._meta.db_table] = Difference(table=model._meta.db_table)
            continue
        live = present or live_rows(
            connection,
            model,
            part.source,
            is_committed=model._meta.db_table not in loading.made,
        )
        comparison = Comparison(loading.duckdb, model, path, live)
        withheld = _apply(loading, model, comparison, loaded)
        if not is_shared(model):
            remember_copy(part.source, model, None if withheld else path)
    _advance(part, loaded)
    return loaded


def _apply(
    loading: _Loading, model: type[models.Model], comparison: Comparison, loaded: Loaded
) -> int:
    """Write one table's difference; return how many deletions were withheld."""
    difference = comparison.difference
    loaded.differences[difference.table] = difference
    withheld = 0
    if difference.removed and loading.may_delete:
        delete_rows(connection, model, comparison.keys_to_delete())
    elif difference.removed:
        withheld, difference.removed = difference.removed, 0
        loaded.withheld_count += withheld
    if count := difference.added + difference.changed:
        # What is done before it can be read is not shown.
        quiet = not loading.progress or count <= ROWS_PER_BATCH
        with Progress(f"load {difference.table}", count, unit="rows", quiet=quiet) as shown:
            rows = comparison.rows_to_write()
            is_empty = comparison.is_empty and not is_shared(model)
            upsert_rows(
                connection,
                model,
                rows,
                is_empty=is_empty,
                row_count=count,
                advance=shown.advance,
            )
    return withheld


def _advance(part: Part, loaded: Loaded) -> None:
    """Note that the source was replayed, and whether its data changed."""
    state, _ = SourceState.objects.get_or_create(
        source=part.source, defaults={"replayed_at": timezone.now()}
    )
    state.replayed_at = timezone.now()
    if part.fingerprints is not None:
        state.fingerprints = dict(part.fingerprints)
    if loaded.changed_count or state.limit_exceeded != part.limit_exceeded:
        state.data_version += 1
    state.limit_exceeded = part.limit_exceeded
    state.inputs = "" if loaded.withheld_count else part.inputs
    state.save()
