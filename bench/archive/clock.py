"""Timing that holds on a noisy machine: interleaved rounds, medians, ratios within a round."""

import cProfile
import gc
import os
import pstats
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Work = Callable[[], object]


def interleaved(ways: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds each way took in each round; every round begins with another way."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            taken[name].append(seconds(ways[name]))
    return taken


def seconds(work: Work) -> float:
    gc.collect()
    os.sync()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median(values: list[float]) -> float:
    return round(statistics.median(values), 4)


def speed_ratio(taken: dict[str, list[float]], ours: str, theirs: str) -> float:
    """How fast ours is against theirs: the median over the rounds, 1.0 is equal, more is faster."""
    return round(
        statistics.median(
            their / our for our, their in zip(taken[ours], taken[theirs], strict=True)
        ),
        2,
    )


def percentile(values: list[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def profile(work: Work, units: int, path: Path, *, top: int = 40) -> list[dict[str, object]]:
    """Microseconds per unit of the dearest functions, by their own time; all of them go to `path`.

    The profiler's own cost falls on Python functions called often: read it as an order.
    """
    profiler = cProfile.Profile()
    profiler.enable()
    work()
    profiler.disable()
    rows = [
        {
            "function": _shown(where),
            "calls_per_unit": round(calls / units, 2),
            "own_us": round(own * 1e6 / units, 2),
            "cumulative_us": round(cumulative * 1e6 / units, 2),
        }
        for where, (_, calls, own, cumulative, _) in pstats.Stats(profiler).stats.items()  # type: ignore[attr-defined]
    ]
    by_own = sorted(rows, key=lambda row: -row["own_us"])
    by_all = sorted(
        (row for row in rows if row["function"].startswith("raw_store")),
        key=lambda row: -row["cumulative_us"],
    )
    lines = [f"total {sum(row['own_us'] for row in rows):.1f} us per payload, profiler included"]
    for title, chosen in (("by own time", by_own), ("the archive's, with callees", by_all)):
        lines += ["", title, f"{'own us':>9} {'all us':>9} {'calls':>8}  function"]
        lines += [
            f"{row['own_us']:9.2f} {row['cumulative_us']:9.2f} "
            f"{row['calls_per_unit']:8.2f}  {row['function']}"
            for row in chosen[:top]
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [dict(row) for row in by_own[:15]]


@contextmanager
def stages(*functions: tuple[object, str]) -> Iterator[dict[str, float]]:
    """Seconds spent in each function (owner, name) inside the block, callees included."""
    spent: dict[str, float] = {}
    kept = [(owner, name, getattr(owner, name)) for owner, name in functions]

    def wrapped(label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        spent[label] = 0.0

        def timed(*args: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **named)
            finally:
                spent[label] += time.perf_counter() - started

        return timed

    for owner, name, function in kept:
        setattr(owner, name, wrapped(f"{_owner(owner)}.{name}", function))
    try:
        yield spent
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def _owner(owner: object) -> str:
    return str(getattr(owner, "__name__", owner)).removeprefix("raw_store.")


def _shown(where: tuple[str, int, str]) -> str:
    file, line, name = where
    if file == "~":
        return name
    parts = Path(file).parts
    if "site-packages" in parts:
        parts = parts[parts.index("site-packages") + 1 :]
    elif "raw_store" in parts:
        parts = parts[parts.index("raw_store") :]
    else:
        parts = parts[-2:]
    return f"{'/'.join(parts)}:{line} {name}"
