"""Making a vintage: derive every source as of a cut, compute the rollups, write one SQLite file.

Nothing live changes: rows are linked into files of their own, rollups are built in a folder that
goes away, and what remains is a database with the tables that the API reads.
"""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from api.moments import open_database
from raw_store.archive import Archive
from raw_store.cycles import rare_collections
from reshape.columns import columns_of
from reshape.difference import Comparison, is_shared
from reshape.history import write_history
from reshape.kept_history import table_of
from reshape.models import Derived, HeldRow, ModelState, QuarantineEntry, derived_models
from reshape.neighbours import in_order, targets_elsewhere
from reshape.replay import Derivation, derive, discard
from reshape.sql import duck, quoted
from reshape.tables import upsert_rows
from warehouse.build import Plan, make_build
from warehouse.models import RollupTable
from warehouse.rollups import rollup_model, rollups, source_tables
from warehouse.tables import create_statements

from .moment import Moment

logger = logging.getLogger(__name__)

# Rollups read no view of the archive; an address that is no folder makes none.
_NO_ARCHIVE = "none://"


def make_vintage(moment: Moment, path: Path) -> None:
    """Write every table as of a moment into a new SQLite file at `path`, whole or not at all.

    Raises `ReshapeError`, `WarehouseError` and `ArchiveError`.
    """
    started = time.monotonic()
    work = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    work.mkdir(parents=True)
    derivations: list[Derivation] = []
    try:
        targets: dict[type[models.Model], Path] = {}
        archive = Archive().pinned()
        for source in in_order(moment.sources):
            for model in targets_elsewhere(source):
                if model not in targets:
                    # Nothing of it was archived yet; the live rows are of another time.
                    targets[model] = _empty(model, work)
            derivation = derive(source, archive, as_of=moment.cut, targets=targets)
            derivations.append(derivation)
            copies = derivation.linked.copies
            targets |= {model: file for model, file in copies.items() if not is_shared(model)}
        file = work / "vintage.sqlite3"
        with _new_database(file) as connection:
            _create_tables(connection)
            for derivation in derivations:
                for model, rows in derivation.linked.copies.items():
                    _fill(connection, model, rows)
            _add_rollups(connection, targets, archive, moment.cut, work)
        with file.open("rb") as written:
            os.fsync(written.fileno())
        file.rename(path)
    finally:
        for derivation in derivations:
            discard(derivation)
        shutil.rmtree(work, ignore_errors=True)
    logger.info(
        "vintage made cut=%s name=%s bytes=%d seconds=%.1f",
        moment.cut.isoformat(),
        path.name,
        path.stat().st_size,
        time.monotonic() - started,
    )


def _empty(model: type[models.Model], work: Path) -> Path:
    """A file that holds no row of a model."""
    path = work / f"{model._meta.db_table}-empty.parquet"
    pq.write_table(columns_of(model).schema.empty_table(), path)
    return path


@contextmanager
def _new_database(file: Path) -> Iterator[BaseDatabaseWrapper]:
    """A connection of Django's to a new SQLite file, which is renamed only when it is whole."""
    alias = f"vintage_{uuid4().hex}"
    connection = connections[alias] = open_database(str(file), alias)
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = OFF")
            cursor.execute("PRAGMA synchronous = OFF")
        yield connection
    finally:
        connection.close()
        del connections[alias]


def _create_tables(connection: BaseDatabaseWrapper) -> None:
    made: list[type[models.Model]] = [
        *derived_models(),
        QuarantineEntry,
        HeldRow,
        RollupTable,
        # Without a row for a table, its rows are counted.
        ModelState,
    ]
    with connection.schema_editor() as editor:
        for model in made:
            editor.create_model(model)
    with connection.cursor() as cursor:
        for rollup in rollups():
            for statement in create_statements(connection, rollup_model(rollup.name)):
                cursor.execute(statement)


def _fill(connection: BaseDatabaseWrapper, model: type[models.Model], rows: Path) -> None:
    """Add the rows of a Parquet file to a table."""
    with duck() as duckdb, rare_collections(), connection.constraint_checks_disabled():
        found = Comparison(duckdb, model, rows, None).rows_to_write()
        upsert_rows(connection, model, found, is_empty=not is_shared(model))


def _add_rollups(
    connection: BaseDatabaseWrapper,
    rows: dict[type[models.Model], Path],
    archive: Archive,
    cut: datetime,
    work: Path,
) -> None:
    copies = {model._meta.db_table: path for model, path in rows.items()}
    for model in derived_models():
        if model.keep_history and model in rows:
            copies[table_of(model)] = _history(model, archive, cut, work)
    plan = Plan(
        folder=work / "build",
        # What was wrong then is what is asked for: asserts guard what is published.
        rollups=[replace(rollup, asserts=()) for rollup in rollups()],
        tables=source_tables(),
        archive_url=_NO_ARCHIVE,
    )
    made = make_build(plan, copies)
    for name, export in made.exports.items():
        _fill(connection, rollup_model(name), export)
        with connection.cursor() as cursor:
            cursor.execute(
                f'INSERT INTO {RollupTable._meta.db_table} ("table", signature, computed_at) '
                "VALUES (%s, '', %s)",
                [name, connection.ops.adapt_datetimefield_value(cut)],
            )


def _history(model: type[Derived], archive: Archive, cut: datetime, work: Path) -> Path:
    """The states that a model's rows had had by the cut."""
    whole, then = (work / f"{table_of(model)}{end}.parquet" for end in ("-whole", ""))
    write_history(model, whole, archive=archive)
    moment = f"TIMESTAMPTZ {quoted(cut.isoformat())}"
    with duck() as duckdb:
        duckdb.execute(
            "COPY (SELECT * REPLACE (CASE WHEN valid_to <= "
            f"{moment} THEN valid_to END AS valid_to) FROM read_parquet({quoted(str(whole))}) "
            f"WHERE valid_from <= {moment}) TO {quoted(str(then))} (FORMAT parquet)"
        )
    return then
