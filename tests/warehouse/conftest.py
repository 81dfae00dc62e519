"""A small warehouse: two tables, their copies, and rollup files written by each test."""

from pathlib import Path

import duckdb
import pytest

from warehouse.build import Plan, make_build
from warehouse.discovery import discover

TABLES = {
    "quakes_station": {"fetch_id": "UUID", "code": "VARCHAR"},
    "quakes_quake": {
        "fetch_id": "UUID",
        "code": "VARCHAR",
        "station_id": "VARCHAR",
        "occurred_at": "TIMESTAMP WITH TIME ZONE",
        "magnitude": "DOUBLE",
        "detail": "JSON",
    },
}
FETCH = "018f2f6e-0000-7000-8000-000000000001"


class Rollups:
    """Rollup files in a folder, and the warehouse they are built in."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "rollups"
        self.files.mkdir()
        self.copies = folder / "copies"
        self.copies.mkdir()
        self.warehouse = folder / "warehouse"
        self.archive = folder / "archive"

    def write(self, name: str, sql: str) -> Path:
        path = self.files / f"{name}.sql"
        path.write_text(sql)
        return path

    def discover(self, tables=TABLES, taken=()):
        files = [("quakes", path) for path in sorted(self.files.glob("*.sql"))]
        return discover(files, tables, taken)

    def problem(self) -> str:
        """The one thing that is wrong with the files."""
        _, problems = self.discover()
        assert len(problems) == 1, problems
        return str(problems[0])

    def copy_quakes(self, *rows: tuple[str, str, float | None], name: str = "quakes") -> Path:
        """Write a copy of the table of quakes: code, time of occurrence, magnitude."""
        path = self.copies / f"{name}.parquet"
        with duckdb.connect() as connection:
            connection.execute(
                "CREATE TABLE rows (fetch_id VARCHAR, code VARCHAR, station_id VARCHAR, "
                "occurred_at TIMESTAMPTZ, magnitude DOUBLE, detail VARCHAR)"
            )
            for code, occurred_at, magnitude in rows:
                connection.execute(
                    "INSERT INTO rows VALUES (?, ?, 'us', ?::TIMESTAMPTZ, ?, '{\"a\": 1}')",
                    [FETCH, code, occurred_at, magnitude],
                )
            connection.execute(f"COPY rows TO '{path}' (FORMAT parquet)")
        return path

    def plan(self, tables=TABLES) -> Plan:
        found, problems = self.discover(tables)
        assert not problems, problems
        return Plan(
            folder=self.warehouse, rollups=found, tables=tables, archive_url=str(self.archive)
        )

    def build(self, copies=None, *, changed=None, tables=TABLES):
        return make_build(self.plan(tables), copies or {}, changed=changed)


@pytest.fixture
def rollups(tmp_path):
    return Rollups(tmp_path)


def rows(path, sql):
    """The rows of a statement on a build, read as any DuckDB client would."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()
