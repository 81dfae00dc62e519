"""Versions of what the database holds, known without asking it for every request.

A load notes in its own transaction which tables it changed. These notes are read again when
the database says that something was committed: SQLite does, to a connection kept for that,
in microseconds and without a statement that reads; PostgreSQL is asked a few times a second.

A version is read before what it stands for. So an answer may be newer than its tag says,
which costs one needless answer later, and never older.
"""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Count, Max

from raw_store.models import Segment
from reshape.difference import is_shared
from reshape.models import ModelState, SourceState
from warehouse.models import RollupTable

from ..catalog import Entity
from ..compiled.workers import in_worker

TRUSTED_SECONDS = 0.25
"""How long what PostgreSQL said is gone by."""


@dataclass(frozen=True, slots=True)
class Versions:
    """What the database held at one moment."""

    sources: dict[str, int]
    tables: dict[str, str]
    lineage: str
    """What rows are said to come from: the archive, the transforms' code, the rollups' builds."""

    def of(self, entities: Iterable[Entity], *, with_lineage: bool) -> str:
        """A text that changes whenever the rows of one of these do."""
        parts = {self._of(entity) for entity in entities}
        if with_lineage:
            parts.add(f"lineage {self.lineage}")
        return "\n".join(sorted(parts))

    def _of(self, entity: Entity) -> str:
        table = entity.model._meta.db_table
        known = self.tables.get(table, "")
        if entity.is_rollup or is_shared(entity.model):
            # Other sources' loads may write them.
            return f"{table} {known} {sorted(self.sources.items())}"
        return f"{table} {known} {self.sources.get(entity.source or '', 0)}"


class Watch:
    """The versions of one database, as fresh as they need to be."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[Hashable, Versions] | None = None
        self._sqlite: sqlite3.Connection | None = None
        self._name = ""

    async def mark(self) -> Hashable:
        """What is another whenever something was committed since; where the database does not
        say, each time."""
        mark = self._mark()
        return time.monotonic() if mark is None else mark

    async def now(self) -> Versions:
        """The versions at this moment, or a few before it: never later ones."""
        mark = self._mark()
        known = self._known
        if known is not None and mark is not None and known[0] == mark:
            return known[1]
        found = await in_worker(_read)
        self._known = (mark, found)
        return found

    def close(self) -> None:
        """Forget everything, and close what was opened."""
        with self._lock:
            self._known = None
            if self._sqlite is not None:
                self._sqlite.close()
                self._sqlite = None

    def _mark(self) -> Hashable:
        """What changes when something is committed; null where nothing says so."""
        # Not of `connection`: the event loop would make one anew for each request.
        database = connections.settings[DEFAULT_DB_ALIAS]
        if database["ENGINE"] != "django.db.backends.sqlite3":
            return int(time.monotonic() / TRUSTED_SECONDS)
        name = str(database["NAME"])
        with self._lock:
            if self._sqlite is None or self._name != name:
                # In memory, as in tests, there is no other connection to ask.
                if not Path(name).is_file():
                    return None
                if self._sqlite is not None:
                    self._sqlite.close()
                self._sqlite = sqlite3.connect(
                    f"{Path(name).resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
                )
                self._name, self._known = name, None
            # Only says what has changed since this very connection was opened.
            (number,) = self._sqlite.execute("PRAGMA data_version").fetchone()
        return (id(self._sqlite), number)


def _read() -> Versions:
    archive = Segment.objects.aggregate(Count("pk"), Max("pk"))
    states = list(SourceState.objects.values_list("source", "data_version", "fingerprints"))
    # Either may change where no row does.
    code = sorted((source, sorted(fingerprints.items())) for source, _, fingerprints in states)
    computed_at = RollupTable.objects.order_by("table").values_list("table", "computed_at")
    return Versions(
        sources={source: number for source, number, _ in states},
        tables={
            table: f"{path} {changed_at.isoformat()} {row_count}"
            for table, path, changed_at, row_count in ModelState.objects.values_list(
                "table", "copy_path", "changed_at", "row_count"
            )
        },
        lineage=f"{list(archive.values())} {code} {list(computed_at)}",
    )


@cache
def code_version(sdl: str) -> str:
    """What an answer depends on besides data: the schema and the code that answers."""
    digest = hashlib.sha256(sdl.encode())
    folder = Path(__file__).resolve().parent.parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
