"""Compaction, and the deletion of what it replaced, while another process scans and links."""

import hashlib
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from . import desks, harness
from .bodies import rows_of
from .victims import Victim
from .work import Work

SEGMENTS = 5


class Compact(harness.Stage):
    name = "compact"
    trials_per_home = 24
    tells = 2
    longest_s = 0.2

    def begin(self, home: Path) -> None:
        super().begin(home)
        self.round = 0
        self.trial = 0
        self.rows: set[str] = set()
        self._write()
        self.reader: Victim | None = self.forks.start("compact:look", home)
        self.seen: list[dict[str, Any]] = []
        self._await_look()

    def job(self) -> tuple[str, dict[str, Any]]:
        self.trial += 1
        if self.trial > self.trials_per_home - 4:
            # Towards the end no one reads what was replaced, so it may go.
            self._dismiss()
            return "compact:sweep", {}
        if self._pending() < 2:
            self._await_look()
            self._judge_looks()
            self._write()
        return "compact:compact", {"feeds": [desks.FEED] if self.dice.random() < 0.5 else None}

    def check(self, *, ended: bool) -> None:
        super().check(ended=ended)
        with self.plain.database() as database:
            rows = set(self.plain.view(database).rows)
        if more := rows - self.acknowledged:
            self.report.violate("other", f"{len(more)} rows came out of nothing")
        plain = self.plain.visible_rows().keys()
        hidden = self.plain.left_over()
        if self.acknowledged - plain:
            # Between the swap and the last hiding a plain reader sees all rows, some of them twice.
            text = f"a plain reader of the folder misses {len(self.acknowledged - plain)} rows"
            self.report.violate("lost", f"{text}; hidden: {hidden}")

    def end(self) -> None:
        self._dismiss()
        super().end()
        rows = set(self.plain.visible_rows())
        if rows != self.acknowledged:
            text = f"{len(rows ^ self.acknowledged)} rows too many or too few at the end"
            self.report.violate("lost", text)

    def _pending(self) -> int:
        ((count,),) = self.plain.query("SELECT count(*) FROM raw_store_segment WHERE NOT clustered")
        return int(count)

    def _write(self) -> None:
        """Seal some segments, in peace."""
        self.round += 1
        seed = self.dice.randrange(1 << 32)
        for told in self.forks.finish(
            "desks:write", self.home, round_=self.round, segments=SEGMENTS, seed=seed
        ):
            self.hear(told)
        self.written_at = time.monotonic()

    def _await_look(self) -> None:
        """Wait until the reader has looked at what was written last."""
        assert self.reader
        for told in self.reader.listen():
            self.seen.append(told)
            if told.get("began", 0) > self.written_at or "raised" in told:
                return

    def _dismiss(self) -> None:
        if self.reader is None:
            return
        self._await_look()
        self.reader.kill()
        self.seen += self.reader.listen()
        self._judge_looks()
        self.reader = None

    def _judge_looks(self) -> None:
        """What the reader saw between two writings is the same: no row missing, none twice."""
        expected = _as_seen(
            sorted(self.acknowledged), rows_of(dict.fromkeys(range(desks.DESKS), self.round))
        )
        for look in self.seen:
            if "raised" in look:
                self.report.violate("other", f"the reader failed: {look['raised']}")
            elif look["began"] < self.written_at:
                continue
            elif look["saw"] != expected:
                text = f"the reader saw {look['saw']} instead of {expected}"
                self.report.violate("lost", text)
        self.seen.clear()


def compact(work: Work, feeds: list[str] | None) -> None:
    """Merge all small segments."""
    from raw_store.compaction import compact

    work.move_in()
    steps = work.watch()
    work.tell(started=True)
    done = compact(_url(), feeds, advance=lambda count: work.tell(written=count))
    if done.damaged:
        raise done.damaged[0]
    work.tell(steps=steps.counts)


def sweep(work: Work) -> None:
    """Delete what was replaced, without grace, as `archive gc` does."""
    from raw_store.archive import Archive

    work.move_in()
    steps = work.watch()
    work.tell(started=True)
    Archive().gc(grace=timedelta(0))
    work.tell(steps=steps.counts)


def look(work: Work) -> None:
    """Scan and link, over and over, and tell what was seen, and from when on."""
    import pyarrow.parquet as pq
    from django.db import connection

    from raw_store.archive import Archive
    from raw_store.locks import exclusive
    from reshape.replay import derive, discard

    work.move_in()
    os.nice(5)
    archive = Archive()
    while True:
        began = time.monotonic()
        scanned = sorted(str(payload.fetch_id) for payload in archive.scan())
        with exclusive("load"):
            derived = derive("sample", archive)
            rows = {}
            for model, path in derived.linked.copies.items():
                table = model._meta.db_table
                if table in ("sample_author", "sample_book"):
                    named = "name" if table == "sample_author" else "title"
                    columns = pq.read_table(path, columns=["code", named]).to_pylist()
                    rows[table] = sorted((row["code"], row[named]) for row in columns)
            discard(derived)
        if derived.damaged:
            raise AssertionError(f"the reader met damage: {derived.damaged}")
        work.tell(began=began, saw=_as_seen(scanned, rows))
        connection.close()


def _as_seen(fetch_ids: list[str], rows: dict[str, list[tuple[str, str]]]) -> list[Any]:
    """What a reader sees, short enough to be told: counts and digests."""
    shown: list[Any] = []
    for values in (fetch_ids, rows["sample_author"], rows["sample_book"]):
        shown += [len(values), hashlib.sha256(repr(values).encode()).hexdigest()[:12]]
    return shown


def _url() -> str:
    from django.conf import settings

    return str(settings.ARCHIVE_URL)
