"""A build: all rollups in a new DuckDB file, with views over the models and the archive.

A build is one file with a name of its own and is never changed afterwards, so readers of an
older build are never disturbed. `warehouse.publish` makes it the one that is read.
"""

import logging
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from django.conf import settings
from django.db import models

from .asserts import check_rows
from .discovery import Columns, Rollup, create_empty
from .errors import BuildFailed, RollupInvalid
from .places import names_elsewhere
from .publish import current_build, publish, spill_folder, sync_folder
from .rollups import problems, rollup_model, rollups, source_tables
from .rows import create_rows, export_rows
from .signatures import Before, rollups_of, signature_of, table_signatures
from .views import base_of, create_archive_views, create_model_view

__all__ = ["Build", "build", "current_build", "empty_build", "publish"]

# What DuckDB 1.2 and later can open.
STORAGE_VERSION = "v1.2.0"
MEMORY_LIMIT = "1GB"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A finished build that nobody reads yet."""

    path: Path
    tables: dict[type[models.Model], Path]
    """The rollups that were computed: a Parquet file of each one's rows, `row_id` included."""
    exports: dict[type[models.Model], Path]
    """The same of every rollup: one that was not computed has its earlier file."""
    computed_at: dict[type[models.Model], datetime]
    """When each rollup's rows were computed, in this build or an earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a build holds, and where builds are kept."""

    folder: Path
    rollups: list[Rollup]
    """In dependency order."""
    tables: Mapping[str, Columns]
    """The models' tables."""
    archive_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A finished build file."""

    path: Path
    computed: frozenset[str]
    exports: dict[str, Path]
    """Rollup to the Parquet file of its rows."""
    computed_at: dict[str, datetime]


def build(copies: Mapping[str, Path], *, changed: set[str] | None = None) -> Build:
    """Make a new build from the models' columnar copies; nothing is published.

    `copies` maps each model's table to its current copy; a table without one counts as empty.
    `changed` names the tables whose rows differ from those the current build was made of; a
    rollup that reads none of them, and whose file and inputs are as they were, is copied
    from the current build, and so is one that is not to be computed again so soon. With None,
    every rollup is computed.

    Raises `BuildFailed`, naming the file, when a rollup cannot be computed; `AssertFailed` when
    what it asserts does not hold.
    """
    if wrong := problems():
        listed = "\n".join(str(problem) for problem in wrong)
        raise BuildFailed(f"The build needs every rollup file to be right:\n{listed}")
    made = make_build(_installed_plan(), copies, changed=changed)
    exports = {rollup_model(name): path for name, path in made.exports.items()}
    return Build(
        path=made.path,
        tables={rollup_model(name): made.exports[name] for name in sorted(made.computed)},
        exports=exports,
        computed_at={rollup_model(name): at for name, at in made.computed_at.items()},
    )


def is_current(copies: Mapping[str, Path]) -> bool:
    """Whether the published build was made of these copies, by the rollup files as they are.

    A rollup that is not to be computed again so soon is right as it is.
    """
    plan = _installed_plan()
    current = current_build(plan.folder)
    if current is None or problems():
        return False
    try:
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH '{_escaped(current)}' AS published (READ_ONLY)")
            if names_elsewhere(connection, "published"):
                return False
            named = connection.execute(
                "SELECT name, path FROM published.build.copies WHERE name IS NOT NULL"
            ).fetchall()
            made = rollups_of(connection, "published.build", plan.folder)
    except duckdb.Error as error:
        logger.warning("build unreadable name=%s error=%s", current, error)
        return False
    wanted = {table: path.resolve() for table, path in copies.items()}
    if dict(named) != {table: str(path) for table, path in wanted.items()}:
        return False
    if made.keys() != {rollup.name for rollup in plan.rollups}:
        return False
    now = datetime.now(UTC)
    signatures = table_signatures(plan.tables, wanted)
    for rollup in plan.rollups:
        before = made[rollup.name]
        signatures[rollup.name] = before.signature
        if before.signature != signature_of(rollup, signatures) and not before.is_kept(rollup, now):
            return False
    return True


def empty_build(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of a build, without rows, in the connection's current schema."""
    plan = _installed_plan()
    for table, columns in plan.tables.items():
        create_empty(connection, table, columns)
    for rollup in plan.rollups:
        create_empty(connection, rollup.name, {"row_id": "VARCHAR", **dict(rollup.columns)})
    create_archive_views(connection, plan.archive_url)


def make_build(plan: Plan, copies: Mapping[str, Path], *, changed: set[str] | None = None) -> Made:
    """Make a build of `plan`; see `build`."""
    started = time.monotonic()
    plan.folder.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
    temporary = plan.folder / f".{name}.duckdb.tmp"
    try:
        with _connect(plan.folder) as connection:
            maker = _Maker(connection, plan, copies, changed, name)
            try:
                made = maker.make(temporary)
            except BaseException:
                maker.remove_exports()
                raise
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.rename(made.path)
        sync_folder(plan.folder)
    finally:
        temporary.unlink(missing_ok=True)
        Path(f"{temporary}.wal").unlink(missing_ok=True)
    logger.info(
        "build made name=%s rollups=%d computed=%d seconds=%.1f",
        made.path.name,
        len(plan.rollups),
        len(made.computed),
        time.monotonic() - started,
    )
    return made


def _installed_plan() -> Plan:
    return Plan(
        folder=settings.WAREHOUSE_DIR,
        rollups=rollups(),
        tables=source_tables(),
        archive_url=settings.ARCHIVE_URL,
    )


def _connect(folder: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(spill_folder(folder)),
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    # Sums of floats depend on the order of addition; with one thread it is always the same,
    # and a rollup computed twice from the same rows gives the same rows.
    connection.execute("SET threads = 1")
    return connection


class _Maker:
    """Makes one build in one connection."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        plan: Plan,
        copies: Mapping[str, Path],
        changed: set[str] | None,
        name: str,
    ) -> None:
        self.connection = connection
        self.plan = plan
        self.copies = {table: path.resolve() for table, path in copies.items()}
        self.name = name
        self.changed = changed
        self.signatures = table_signatures(plan.tables, self.copies)
        self.computed: set[str] = set()
        self.computed_at: dict[str, datetime] = {}
        self.now = datetime.now(UTC)
        self.exports: dict[str, Path] = {}

    def make(self, temporary: Path) -> Made:
        execute = self.connection.execute
        previous = self._attach_previous()
        execute(f"ATTACH '{_escaped(temporary)}' AS made (STORAGE_VERSION '{STORAGE_VERSION}')")
        execute("USE made")
        self._create_model_views(in_order=True)
        create_archive_views(self.connection, self.plan.archive_url)
        for rollup in self.plan.rollups:
            self._make_rollup(rollup, previous.get(rollup.name))
        # Whoever asks has no need of the order, which costs a sort.
        self._create_model_views(in_order=False)
        self._describe_itself()
        execute("USE memory")
        execute("DETACH made")
        return Made(
            path=self.plan.folder / f"{self.name}.duckdb",
            computed=frozenset(self.computed),
            exports=self.exports,
            computed_at=self.computed_at,
        )

    def _create_model_views(self, *, in_order: bool) -> None:
        for table, columns in self.plan.tables.items():
            copy = self.copies.get(table)
            create_model_view(self.connection, table, columns, copy, in_order=in_order)

    def remove_exports(self) -> None:
        """Delete what a build that failed would have handed over."""
        for name in self.computed:
            self.exports[name].unlink(missing_ok=True)

    def _attach_previous(self) -> dict[str, Before]:
        """Attach the current build; return what it knows of each of its rollups."""
        current = current_build(self.plan.folder)
        if current is None:
            return {}
        try:
            self.connection.execute(f"ATTACH '{_escaped(current)}' AS previous (READ_ONLY)")
            return rollups_of(self.connection, "previous.build", self.plan.folder)
        except duckdb.Error as error:
            logger.warning(
                "build unreadable, computing all rollups name=%s error=%s", current, error
            )
            return {}

    def _make_rollup(self, rollup: Rollup, before: Before | None) -> None:
        signature = signature_of(rollup, self.signatures)
        if before is not None and self._is_kept(rollup, before, signature):
            self.connection.execute(
                f'CREATE TABLE "{rollup.name}" AS FROM previous.main."{rollup.name}"'
            )
            self.exports[rollup.name] = before.export
            self.computed_at[rollup.name] = before.computed_at
            # Not what it would be now: it is computed as soon as that may be.
            self.signatures[rollup.name] = before.signature
        else:
            self._compute(rollup)
            self.signatures[rollup.name] = signature
        if rollup.description:
            comment = rollup.description.replace("'", "''")
            self.connection.execute(f"COMMENT ON TABLE \"{rollup.name}\" IS '{comment}'")

    def _compute(self, rollup: Rollup) -> None:
        path = self.plan.folder / "rollups" / rollup.name / f"{self.name}.parquet"
        try:
            create_rows(self.connection, rollup)
            for assertion in rollup.asserts:
                check_rows(self.connection, rollup.name, rollup.path, assertion)
            export_rows(self.connection, rollup, path)
        except (duckdb.Error, RollupInvalid) as error:
            raise BuildFailed(
                f"Rollup {rollup.path} could not be computed: {str(error).rstrip('.')}. "
                "Nothing was published. Correct the file, then run `manage.py build_rollups`."
            ) from error
        self.exports[rollup.name] = path
        self.computed.add(rollup.name)
        self.computed_at[rollup.name] = self.now

    def _is_kept(self, rollup: Rollup, before: Before, signature: str) -> bool:
        """Whether the rows of the current build are those of this one, too."""
        if self.changed is None or not before.export.exists():
            return False
        if not self._has_columns(rollup):
            return False
        if before.is_kept(rollup, self.now):
            return True
        stale = self.changed | self.computed
        return (
            rollup.refresh.when != "always"
            and before.signature == signature
            and stale.isdisjoint(rollup.inputs)
        )

    def _has_columns(self, rollup: Rollup) -> bool:
        """Whether the current build's rows have the columns that the file gives now."""
        found = self.connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = 'previous' AND schema_name = 'main' AND table_name = ? "
            "ORDER BY column_index",
            [rollup.name],
        ).fetchall()
        return bool(found[1:] == list(rollup.columns))

    def _describe_itself(self) -> None:
        """Record in the build what it was made of: the next build and the sweep read it."""
        execute = self.connection.execute
        execute("CREATE SCHEMA build")
        execute(
            "CREATE TABLE build.rollups "
            "(name VARCHAR, signature VARCHAR, export VARCHAR, computed_at TIMESTAMPTZ)"
        )
        execute("CREATE TABLE build.copies (name VARCHAR, path VARCHAR)")
        for name, path in self.exports.items():
            execute(
                "INSERT INTO build.rollups VALUES (?, ?, ?, ?)",
                [
                    name,
                    self.signatures[name],
                    str(path.relative_to(self.plan.folder)),
                    self.computed_at[name],
                ],
            )
        for table, path in self.copies.items():
            execute("INSERT INTO build.copies VALUES (?, ?)", [table, str(path)])
            if base_of(path) != path:
                # Without a name: no table's copy, but a file that one lies upon.
                execute("INSERT INTO build.copies VALUES (NULL, ?)", [str(base_of(path))])


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
