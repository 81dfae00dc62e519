"""Reconcile: prove that what is served is what the archive and the transforms say.

Compared are every table with what link gives, and every table with its columnar copy,
which rollups and analysts read in its place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb as duckdb_engine
import pyarrow as pa
from django.conf import settings
from django.db import connection, models

from raw_store.archive import Archive
from raw_store.locks import exclusive
from reshape.copies import present_copy, remember_copy
from reshape.difference import Comparison, Difference, live_rows
from reshape.models import ModelState, derived_models
from reshape.replay import as_json, derive, differences, discard
from reshape.sql import duck
from warehouse.rollups import rollup_model, rollups

from .diffing import samples
from .telling import many


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyProblem:
    """A columnar copy that is not its table."""

    table: str
    path: str
    difference: Difference | None
    """What loading the copy would change in the table; None where it cannot be read."""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What was found of one source."""

    source: str
    tables: list[Difference]
    """Per table what a load would change: `added` rows are missing in it, `removed` are extra."""
    copies: list[CopyProblem]
    copy_count: int
    """Copies that were compared."""
    damaged: list[str]

    @property
    def problem_count(self) -> int:
        return sum(d.total for d in self.tables) + len(self.copies) + len(self.damaged)


def reconcile(source: str, *, progress: bool = False) -> Reconciled:
    """Compare one source's tables with what link gives and with their copies. Changes no row.

    Raises `ReshapeError`, `ArchiveError`.
    """
    # A load between the two sides would show as a difference.
    with exclusive("load"):
        derivation = derive(source, Archive(), progress=progress)
        try:
            tables = differences(derivation)
        finally:
            discard(derivation)
        copied = _copied_models(source)
        return Reconciled(
            source=source,
            tables=tables,
            copies=[problem for model in copied if (problem := _compare_copy(model, source))],
            copy_count=len(copied),
            damaged=derivation.damaged,
        )


def forget_copies(found: Reconciled) -> None:
    """Drop the copies that are not their tables, so that a replay writes them anew."""
    wrong = {problem.table for problem in found.copies}
    with exclusive("load"):
        for model in _copied_models(found.source):
            if model._meta.db_table in wrong:
                remember_copy(found.source, model, None)


def _copied_models(source: str) -> list[type[models.Model]]:
    """The source's models and rollups that have a copy here."""
    owned: list[type[models.Model]] = [
        *derived_models(source),
        *(rollup_model(rollup.name) for rollup in rollups(source)),
    ]
    paths = _copy_paths()
    return [model for model in owned if model._meta.db_table in paths]


def _copy_paths() -> dict[str, Path]:
    """Table → its copy, whether or not it can be read."""
    folder = Path(settings.WAREHOUSE_DIR)
    known = ModelState.objects.values_list("table", "copy_path")
    return {table: folder / path for table, path in known if (folder / path).exists()}


def _compare_copy(model: type[models.Model], source: str) -> CopyProblem | None:
    table = model._meta.db_table
    path = _copy_paths()[table]
    try:
        if present_copy(model) is None:
            return CopyProblem(
                table=table,
                path=str(path),
                difference=None,
                error="it cannot be read, or its columns are others",
            )
        with duck() as duckdb:
            live = live_rows(connection, model, source)
            difference = Comparison(duckdb, model, path, live).describe()
    except (duckdb_engine.Error, pa.ArrowInvalid, OSError) as error:
        said = str(error).splitlines()[0]
        return CopyProblem(table=table, path=str(path), difference=None, error=said)
    if not difference.total:
        return None
    return CopyProblem(table=table, path=str(path), difference=difference)


def as_text(found: Reconciled) -> Iterator[str]:
    """The lines that a terminal shows."""
    rows = len([d for d in found.tables if not d.table.startswith("reshape_")])
    copies = "1 columnar copy" if found.copy_count == 1 else f"{found.copy_count} columnar copies"
    compared = f"{many(rows, 'table')} and {copies}"
    if not found.problem_count:
        yield f"{found.source}: {compared} are what the archive says"
        return
    yield f"{found.source}: {compared} compared"
    for difference in found.tables:
        if difference.total:
            yield f"  {difference.table}: " + ", ".join(
                f"{count:,} {what}"
                for count, what in (
                    (difference.added, "missing"),
                    (difference.changed, "different"),
                    (difference.removed, "extra"),
                )
                if count
            )
            yield from (f"    {line}" for line in samples(difference))
    for problem in found.copies:
        if problem.difference is None:
            yield f"  copy of {problem.table} cannot be read: {problem.error} ({problem.path})"
            continue
        yield (
            f"  copy of {problem.table} is not its table: "
            f"{many(problem.difference.total, 'row')} differ ({problem.path})"
        )
        yield from (f"    {line}" for line in samples(problem.difference))
    for damage in found.damaged:
        yield f"  damaged: {damage}"


def as_plain(found: Reconciled) -> dict[str, Any]:
    """The same as plain values, for `--json`."""
    return {
        "source": found.source,
        "problem_count": found.problem_count,
        "tables": [
            {
                **as_json(difference),
                "missing": difference.added,
                "different": difference.changed,
                "extra": difference.removed,
            }
            for difference in found.tables
        ],
        "copies_compared": found.copy_count,
        "copies": [
            {
                "table": problem.table,
                "path": problem.path,
                "error": problem.error,
                "difference": problem.difference and as_json(problem.difference),
            }
            for problem in found.copies
        ],
        "damaged": found.damaged,
    }
