"""What must be shown, the aim of each figure, and whether it is met: one table of them all."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Found = dict[str, Any]

FLOOR, ONE_BY_ONE, DLT, BARE_DUCKDB = 0.6, 150, 15, 0.7
INCREMENT, NOTHING_S, MEMORY_MB = 2.0, 2.0, 1024
_LOADS = {"first": "first load", "forced": "all anew", "changed": "1 % changed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One figure and its aim."""

    what: str
    value: float
    aim: float
    is_least: bool
    """Whether the aim is the least it should be, and not the most."""

    @property
    def is_met(self) -> bool:
        return self.value >= self.aim if self.is_least else self.value <= self.aim

    @property
    def cells(self) -> list[str]:
        bound = "at least" if self.is_least else "at most"
        met = "met" if self.is_met else "missed"
        return [self.what, f"{self.value:,.2f}", f"{bound} {self.aim:g}", met]


def verdicts(known: Found) -> list[Verdict]:
    """Those of the parts that were measured."""
    return [each for name, judge in _PARTS.items() if name in known for each in judge(known[name])]


def _least(what: str, value: float, aim: float) -> Verdict:
    return Verdict(what=what, value=value, aim=aim, is_least=True)


def _most(what: str, value: float, aim: float) -> Verdict:
    return Verdict(what=what, value=value, aim=aim, is_least=False)


def _into(database: str) -> Any:
    def judge(part: Found) -> Iterator[Verdict]:
        against = part["ours_against"]
        aims = {"floor": FLOOR, "django_one_by_one": ONE_BY_ONE, "dlt_merge": DLT}
        for name, aim in aims.items():
            for load, said in _LOADS.items() if name in against else ():
                what = f"{database}, {said}, times as fast as {name.replace('_', ' ')}"
                yield _least(what, against[name][load]["seconds"], aim)
        yield _most(f"{database}, peak MB", part["ways"]["ours"]["peak_mb"], MEMORY_MB)

    return judge


def _nothing(part: Found) -> Iterator[Verdict]:
    over = f"over {part['payloads']:,} payloads"
    seconds = sorted(each["seconds"] for each in part["again"])
    yield _most(f"nothing to do {over}, seconds", seconds[len(seconds) // 2], NOTHING_S)
    yield _most(f"everything to do {over}, peak MB", part["first"]["peak_mb"], MEMORY_MB)


def _incremental(part: Found) -> Iterator[Verdict]:
    (small, few), (large, many) = ((int(n), each) for n, each in part["archives"].items())
    ratio = many["second"]["seconds"] / few["second"]["seconds"]
    what = f"{few['new_payloads']} new payloads, over {large:,} against over {small:,}"
    yield _most(f"{what}, seconds' ratio", ratio, INCREMENT)
    yield _most(f"the same over {large:,}, peak MB", many["peak_mb"], MEMORY_MB)


def _real(part: Found) -> Iterator[Verdict]:
    for name, each in part["histories"].items():
        if "skipped" not in each:
            yield _most(f"{name} complete, peak MB", each["peak_mb"], MEMORY_MB)


def _sql(part: Found) -> Iterator[Verdict]:
    for name, speed in part["speed"].items():
        yield _least(f"a transform in SQL ({name}), of bare DuckDB", speed, BARE_DUCKDB)


_PARTS = {
    "sqlite": _into("SQLite"),
    "postgresql": _into("PostgreSQL"),
    "nothing": _nothing,
    "incremental": _incremental,
    "real": _real,
    "sql": _sql,
}
