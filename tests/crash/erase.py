"""Erasing: once begun it comes to its end, whoever finishes it, and what is erased stays away."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from . import desks, harness
from .bodies import ORIGIN
from .plain import View
from .work import Work


class Erase(harness.Stage):
    name = "erase"
    tells = 1
    longest_s = 0.8
    trials_per_home = 10

    def begin(self, home: Path) -> None:
        super().begin(home)
        self.round = 0
        self.urls: dict[str, str] = {}
        """Fetch id → address, of whatever was archived."""
        self.asks: list[set[str]] = []
        """What each erasure since the last settlement was to remove, and may have."""
        self.erased: set[str] = set()

    def job(self) -> tuple[str, dict[str, Any]]:
        self.round += 1
        for told in self.forks.finish(
            "desks:write", self.home, round_=self.round, segments=2, seed=self.round
        ):
            self.hear(told)
        if self.round % 3 == 0:
            self.forks.finish("compact:compact", self.home, feeds=None)
        with self.plain.database() as database:
            rows = self.plain.view(database).rows
        self.urls.update({fetch_id: row.url for fetch_id, row in rows.items()})
        for asked in self.asks:
            # A later fetch whose body is one to be erased goes with it.
            asked |= {each for each, row in rows.items() if row.payload_id in asked}
        path = f"/desk/{self.dice.randrange(desks.DESKS)}"
        # One that was begun before is finished first.
        self.asks.append(self._of(path))
        return "erase:erase", {"path": path}

    def check(self, *, ended: bool) -> None:
        if not ended and self.dice.random() < 0.5:
            super().check(ended=False)
            self.forks.finish("erase:resume", self.home)
            ended = True
        if ended:
            self._settle()
        super().check(ended=ended)

    def judge(self, view: View) -> None:
        under_way = self.erased.union(*self.asks)
        # Segment by segment: a revisit may outlive the body that goes with it.
        view.torn = [
            problem
            for problem in view.torn
            if not (problem.startswith("revisit ") and problem.split()[1] in under_way)
        ]
        acknowledged, self.acknowledged = self.acknowledged, self.acknowledged - under_way
        super().judge(view)
        self.acknowledged = acknowledged
        if back := self.erased & view.rows.keys():
            self.report.violate("other", f"{len(back)} erased fetches are in the index again")

    def end(self) -> None:
        self.forks.finish("erase:resume", self.home)
        self._settle()
        super().end()
        if back := self.erased & self._anywhere():
            self.report.violate("other", f"{len(back)} erased fetches came back with gc")

    def _settle(self) -> None:
        """No erasure is under way: each has either removed all it was asked to, or not begun."""
        states = {state for (state,) in self.plain.query("SELECT state FROM raw_store_erasure")}
        if not states <= {"done"}:
            self.report.violate("other", f"after the end erasures are {states}")
        left = self._anywhere()
        for asked in self.asks:
            asked -= self.erased
            if asked & left and asked - left:
                text = f"{len(asked & left)} of {len(asked)} fetches asked for are left"
                self.report.violate("other", text)
            self.erased |= asked - left
        self.asks.clear()

    def _of(self, path: str) -> set[str]:
        url = f"{ORIGIN}{path}"
        return {each for each, known in self.urls.items() if known == url} - self.erased

    def _anywhere(self) -> set[str]:
        """The fetches in any file of the archive, hidden ones and unfinished ones too."""
        found: set[str] = set()
        for path in (self.home / "archive").rglob("*.parquet*"):
            if path.suffix != ".tmp":
                found.update(pq.read_table(path, columns=["fetch_id"])["fetch_id"].to_pylist())
        return found


def erase(work: Work, path: str) -> None:
    """Erase an address."""
    from django.conf import settings

    from raw_store import erasing
    from raw_store.selection import Asked

    work.move_in()
    steps = work.watch()
    work.tell(started=True)
    erased = erasing.erase(settings.ARCHIVE_URL, Asked(by="url", text=f"{ORIGIN}{path}"))
    if erased and erased.proof.left:
        raise AssertionError(f"the search found {erased.proof.left}")
    work.tell(steps=steps.counts)


def resume(work: Work) -> None:
    """Finish what was interrupted."""
    from django.conf import settings

    from raw_store import erasing

    work.move_in()
    for erased in erasing.resume(settings.ARCHIVE_URL):
        if erased.proof.left:
            raise AssertionError(f"the search found {erased.proof.left}")
