"""The crash harness: processes are killed at random and at chosen points; then the disk is judged.

A *stage* (extract, seal, compact, replay, …) is one module here. It names a job, which the fork
server starts; the job is killed with SIGKILL, by the clock or at a durable step (`steps`), and the
stage compares what lies on disk, read with sqlite3 and pyarrow alone, with what the dead process
had acknowledged and with the bodies as they must be. The next trial starts in the same home:
recovery is whatever the next process does by itself.

Every so often the home is cleared up as an operator would (`archive gc` without grace, `archive
verify`), its index is rebuilt from the files alone and compared, and a new home is begun.

It runs on Linux: it looks into `/proc`.

What a kill cannot show: a missing fsync, for the system keeps what a dead process has written. The
order of the calls is tested apart (`test_order.py`).
"""

import itertools
import queue
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from .plain import Plain, View
from .victims import Forks, Hangs, Victim

SHOWN = 20
BY_CLOCK = 0.4
"""The share of kills that come at any moment, not at a step."""

Aim = dict[str, Any]
"""What `steps.Aim` is made of."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What the trials of one stage showed."""

    stage: str
    seed: int
    kills: int = 0
    trials: int = 0
    homes: int = 0
    acknowledged: int = 0
    """Payloads, over all homes."""
    lost: int = 0
    torn: int = 0
    ahead: int = 0
    """Times a watermark, or a run's count, was ahead of its rows."""
    other: int = 0
    """Whatever else was not as promised."""
    said: list[str] = field(default_factory=list)
    """The first violations, each in a line."""
    killed_at: dict[str, int] = field(default_factory=dict)
    """Kinds of step, or `clock`."""
    seconds: float = 0.0

    @property
    def violations(self) -> int:
        return self.lost + self.torn + self.ahead + self.other

    def violate(self, kind: str, text: str, count: int = 1) -> None:
        """Note a violation; `kind` is the field that counts it."""
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.said) < SHOWN:
            self.said.append(f"{kind}, trial {self.trials}: {text[-2000:]}")


class Stage:
    """What is killed, and what must be true afterwards. One object sees one home at a time."""

    name: ClassVar[str]
    trials_per_home: ClassVar[int] = 20
    aims: ClassVar[Sequence[Aim]] = ()
    """Where the first trials die."""
    tells: ClassVar[int] = 4
    """How often its jobs tell something before their end: moments for the clock to start at."""
    longest_s: ClassVar[float] = 0.1
    """A kill by the clock comes within so many seconds of what a job told."""

    def __init__(self, forks: Forks, report: Report, dice: random.Random) -> None:
        self.forks = forks
        self.report = report
        self.dice = dice

    def open(self) -> None:
        """Before the first home."""

    def close(self) -> None:
        """After the last home."""

    def begin(self, home: Path) -> None:
        """Move to a new home, which holds an empty database."""
        self.home = home
        self.plain = Plain(home)
        self.acknowledged: set[str] = set()
        """Fetch ids."""

    def job(self) -> tuple[str, dict[str, Any]]:
        """Prepare a trial, and return the work to be killed with its arguments."""
        raise NotImplementedError

    def hear(self, told: dict[str, Any]) -> None:
        """Take note of what the victim told, such as what is acknowledged."""
        if "acknowledged" in told:
            self.acknowledged.update(told["acknowledged"])

    def check(self, *, ended: bool) -> None:
        """Judge the disk after a trial; `ended` when the victim came to its end by itself."""
        with self.plain.database() as database:
            self.judge(self.plain.view(database))
        for problem in self.plain.torn_files():
            self.report.violate("torn", problem)

    def judge(self, view: View) -> None:
        """What is true of every archive: nothing lost, torn or twice."""
        for problem in view.torn:
            self.report.violate("torn", problem)
        for path in view.missing:
            self.report.violate("lost", f"{path} is in the index and not on disk")
        if lost := self.acknowledged - view.rows.keys():
            text = f"{len(lost)} acknowledged fetches are gone, {min(lost)} among them"
            self.report.violate("lost", text, len(lost))
        if view.twice:
            self.report.violate("other", f"{view.twice} rows are in two segments of the index")

    def end(self) -> None:
        """Clear the home up as an operator would, and rebuild its index from its files."""
        self.report.acknowledged += len(self.acknowledged)
        (told,) = self.forks.finish("work:clear_up", self.home)
        for problem in told["problems"]:
            self.report.violate("other", f"after gc, verify says: {problem}")
        for path in self.plain.left_over():
            self.report.violate("other", f"after gc {path} is still there")
        self.plain.forget()
        with self.plain.database() as database:
            view = self.plain.view(database)
            self.judge(view)
            known = _index_of(database)
        visible = self.plain.visible_rows()
        if twice := [fetch_id for fetch_id, count in visible.items() if count > 1]:
            self.report.violate("other", f"after gc {len(twice)} rows are in two visible files")
        if unknown := visible.keys() - view.rows.keys():
            text = f"after gc {len(unknown)} rows are in no segment of the index"
            self.report.violate("other", text)
        self._rebuild(view, known)

    def _rebuild(self, view: View, known: dict[str, list[tuple[Any, ...]]]) -> None:
        other = shutil.copytree(self.home.parent / "template", self.home.with_name("rebuilt"))
        (told,) = self.forks.finish("work:reindex", other, archive=str(self.home / "archive"))
        rebuilt = Plain(other)
        with rebuilt.database() as database:
            found = _index_of(database)
        for problem in told["problems"]:
            self.report.violate("other", f"reindex says: {problem}")
        for table, rows in known.items():
            if found[table] != rows:
                differing = set(found[table]) ^ set(rows)
                text = f"reindexed, {table} differs in {len(differing)} rows: {min(differing)}"
                self.report.violate("other", text)
        shutil.rmtree(other)


class _Aims:
    """Steps at which to die: each kind of step as often, each step of a kind once before again."""

    def __init__(self, dice: random.Random, first: Sequence[Aim]) -> None:
        self._dice = dice
        self._first = list(first)
        self._counts: dict[str, dict[str, int]] = {}
        self._decks: dict[tuple[str, str], list[Aim]] = {}

    def learn(self, work: str, counts: dict[str, int]) -> None:
        """Take note of how many steps of each kind a job took that came to its end."""
        self._counts.setdefault(work, {}).update(counts)

    def knows(self, work: str) -> bool:
        """Whether such a job came to its end before."""
        return work in self._counts

    def draw(self, work: str) -> Aim | None:
        """A step; None: by the clock."""
        if self._first:
            return self._first.pop(0)
        counts = self._counts.get(work)
        if not counts or self._dice.random() < BY_CLOCK:
            return None
        kind = self._dice.choice(sorted(counts))
        deck = self._decks.setdefault((work, kind), [])
        if not deck:
            moments = ("before", "after", "within") if kind == "write" else ("before", "after")
            deck += [
                {"kind": kind, "number": number, "when": when}
                for number in range(1, counts[kind] + 1)
                for when in moments
            ]
            self._dice.shuffle(deck)
        return deck.pop()


def run(
    stage_class: type[Stage],
    kills: int,
    folder: Path,
    *,
    seed: int | None = None,
    progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Kill a stage's jobs until `kills` have died, in homes below `folder`; say what was wrong.

    Without a `seed` every run kills at other points; the report names the one used.
    """
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    report = Report(stage=stage_class.name, seed=seed)
    dice = random.Random(seed)
    started = time.monotonic()
    with Forks(folder / "forks") as forks:
        template = folder / "template"
        template.mkdir(parents=True)
        forks.finish("work:migrate", template)
        stage = stage_class(forks, report, dice)
        stage.open()
        aims = _Aims(dice, stage.aims)
        while report.kills < kills and report.trials < 10 * kills + 50:
            home = Path(shutil.copytree(template, folder / f"home{report.homes}"))
            report.homes += 1
            stage.begin(home)
            for _ in range(stage.trials_per_home):
                ended = _trial(stage, aims)
                stage.check(ended=ended)
                progress(report)
                if report.kills >= kills:
                    break
            stage.end()
            shutil.rmtree(home)
        stage.close()
    if report.kills < kills:
        report.violate("other", f"only {report.kills} of {kills} victims could be killed")
    report.seconds = round(time.monotonic() - started, 1)
    return report


def _trial(stage: Stage, aims: _Aims) -> bool:
    """Start a job and kill it; return whether it ended by itself instead."""
    report = stage.report
    report.trials += 1
    work, arguments = stage.job()
    is_first = not aims.knows(work)
    aim = aims.draw(work)
    victim = stage.forks.start(work, stage.home, aim=aim, **arguments)
    last: dict[str, Any] = {}
    if aim is None and not is_first:
        _kill_by_clock(stage, victim)
    try:
        for told in victim.listen():
            stage.hear(told)
            last = told
    except queue.Empty:
        victim.kill()
        raise Hangs(f"{work} neither tells nor ends; seed {report.seed}.") from None
    if "steps" in last:
        aims.learn(work, last["steps"])
    if victim.ended == -9:
        report.kills += 1
        where = aim["kind"] if aim else "clock"
        report.killed_at[where] = report.killed_at.get(where, 0) + 1
        return False
    if victim.ended != 0:
        report.violate("other", f"{work} could not work: {last.get('raised', last)}")
    return True


def _kill_by_clock(stage: Stage, victim: Victim) -> None:
    """Wait until the victim told a few things, and a little longer; then kill it."""
    to_hear = stage.dice.randint(1, stage.tells)
    for told in itertools.islice(victim.listen(), to_hear):
        stage.hear(told)
    time.sleep(stage.dice.uniform(0, stage.longest_s))
    victim.kill()


def _index_of(database: Any) -> dict[str, list[tuple[Any, ...]]]:
    """What the index says, in an order of its own."""
    wanted = {
        "raw_store_segment": "name, feed, path, row_count, body_bytes, file_bytes",
        "raw_store_latestversion": "feed, request_key, fetch_id, payload_id, body_digest, etag",
    }
    return {
        table: database.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2").fetchall()
        for table, columns in wanted.items()
    }
