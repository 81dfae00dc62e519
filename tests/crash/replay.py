"""Replay: rows derived, rolled up, loaded and published; all old or all new at every moment."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from . import desks, harness
from .bodies import rows_of
from .work import Work

_NAMED = {"sample_author": "name", "sample_book": "title"}
_Rows = dict[str, list[tuple[str, str]]]


class Replay(harness.Stage):
    name = "replay"
    longest_s = 0.8
    tells = 1
    trials_per_home = 25

    def begin(self, home: Path) -> None:
        super().begin(home)
        self.round = 0
        self.possible: list[_Rows] = [{"sample_author": [], "sample_book": []}]
        """The rows of each round since the last replay that was not killed."""

    def job(self) -> tuple[str, dict[str, Any]]:
        if self.dice.random() < 0.6 or not self.round:
            self.round += 1
            for told in self.forks.finish(
                "desks:write", self.home, round_=self.round, segments=2, seed=self.round
            ):
                self.hear(told)
            self.possible.append(rows_of(dict.fromkeys(range(desks.DESKS), self.round)))
        return "replay:replay", {}

    def check(self, *, ended: bool) -> None:
        super().check(ended=ended)
        if ended:
            del self.possible[:-1]
        found = self._rows()
        if found not in self.possible:
            self.report.violate("torn", f"the rows are of no one round: {_names(found)}")
        else:
            # What was once seen is not undone.
            del self.possible[: self.possible.index(found)]
        self._check_rollups(found)
        self._check_records()
        self._check_build()

    def end(self) -> None:
        # The next replay needs no help.
        self.forks.finish("replay:replay", self.home)
        self.check(ended=True)
        if left := list((self.home / "records" / "_slices").rglob("*.parquet")):
            self.report.violate("other", f"{left[0]} is a slice of a segment that is parsed")
        super().end()

    def _rows(self) -> _Rows:
        with self.plain.database() as database:
            return {
                table: sorted(database.execute(f"SELECT code, {name} FROM {table}").fetchall())
                for table, name in _NAMED.items()
            }

    def _check_rollups(self, rows: _Rows) -> None:
        """The rollup's rows are those of the books beside it: loaded in the same transaction."""
        with self.plain.database() as database:
            is_there = database.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'sample_author_totals'"
            ).fetchall()
            sums = "SELECT author_id, price_sum FROM sample_author_totals"
            found = database.execute(sums).fetchall() if is_there else []
        expected = {code: float(title.split()[1]) for code, title in rows["sample_book"]}
        if {code: float(price) for code, price in found} != expected:
            self.report.violate("torn", f"the rollup is not that of the rows beside it: {found}")

    def _check_records(self) -> None:
        """Every visible record file, and every copy the database names, is whole."""
        visible = [
            path
            for path in (self.home / "records").rglob("*.parquet")
            if not path.name.startswith(".")
        ]
        found = [path for path in visible if "_slices" not in path.parts]
        copies = self.plain.query("SELECT copy_path FROM reshape_modelstate")
        for path in [*visible, *(self.home / "warehouse" / copy for (copy,) in copies)]:
            try:
                pq.read_table(path)
            except (OSError, pa.ArrowException) as error:
                self.report.violate("torn", f"{path.relative_to(self.home)}: {error}")
        outcomes = {path.stem for path in found if "_outcomes" in path.parts}
        for table in _NAMED:
            parsed = {path.stem for path in found if table in path.parts}
            if missing := outcomes - parsed:
                text = f"{min(missing)} counts as parsed and has no records of {table}"
                self.report.violate("torn", text)

    def _check_build(self) -> None:
        """What is published can be opened, and holds the rows of one round."""
        pointer = self.home / "warehouse" / "CURRENT"
        if not pointer.exists():
            return
        try:
            with duckdb.connect(
                pointer.with_name(pointer.read_text().strip()), read_only=True
            ) as db:
                titles = db.execute("SELECT DISTINCT title FROM sample_book").fetchall()
        except duckdb.Error as error:
            self.report.violate("torn", f"the published build cannot be read: {error}")
            return
        if len(titles) > 1:
            self.report.violate("torn", f"the published build holds the books of {titles}")


def replay(work: Work) -> None:
    """Derive, load and publish the sample source; each row group is a slice."""
    from etl.walk import refresh
    from reshape import slices

    slices.SLICE_BYTES = 1
    work.move_in()
    steps = work.watch()
    work.tell(started=True)
    refreshed = refresh("sample")
    if refreshed.derivation.damaged:
        raise AssertionError(f"the replay met damage: {refreshed.derivation.damaged}")
    work.tell(steps=steps.counts)


def _names(rows: _Rows) -> dict[str, set[str]]:
    return {table: {name for _, name in found} for table, found in rows.items()}
