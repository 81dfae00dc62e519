"""The figures as Markdown tables: what `python -m bench.replay` prints, and RESULTS.md holds."""

from collections.abc import Iterable, Sequence
from typing import Any

from .verdicts import verdicts

Found = dict[str, Any]

_LOADS = {
    "first": "first load",
    "nothing": "nothing to do",
    "forced": "all anew, unchanged",
    "changed": "1 % changed",
}
_AIMS = {"floor": "0.6", "django_one_by_one": "150", "dlt_merge": "15"}


def tables(known: Found) -> str:
    """Every part that was measured, as Markdown."""
    written = [writer(known[name]) for name, writer in _PARTS.items() if name in known]
    if judged := verdicts(known):
        head = ["must show", "measured", "aim", ""]
        written.append(f"## Aims\n\n{_table(head, [each.cells for each in judged])}")
    return "\n\n".join(written) + "\n"


def _sqlite(part: Found) -> str:
    return _compared("Into SQLite", part)


def _postgresql(part: Found) -> str:
    return _compared("Into PostgreSQL", part)


def _compared(title: str, part: Found) -> str:
    head = ["thousand rows a second (of computing)", "rows", *_LOADS.values(), "peak MB"]
    rows = [
        [
            name.replace("_", " "),
            f"{way['rows']:,}",
            *(_rates(way.get(load)) for load in _LOADS),
            f"{way['peak_mb']:.0f}" if "peak_mb" in way else "",
        ]
        for name, way in part["ways"].items()
    ]
    ratio_head = ["ours against (by computing)", "aim", *(_LOADS[load] for load in _COMPARED)]
    ratios = [
        [
            name.replace("_", " "),
            _AIMS.get(name, ""),
            *(f"{each[load]['seconds']:g} ({each[load]['cpu_s']:g})" for load in _COMPARED),
        ]
        for name, each in part["ours_against"].items()
    ]
    alone = part["ways"]["floor"]["changed_alone"]["seconds"]
    said = (
        f"{part['rows']:,} rows, {part['rounds']} interleaved rounds, medians; the slow ways on "
        f"fewer rows. Told which 1 % changed, the floor loads it in {alone:.2f} s; ours finds out "
        f"and takes {part['ways']['ours']['changed']['seconds']:.2f} s."
    )
    return _section(title, part, f"{said}\n\n{_table(head, rows)}\n\n{_table(ratio_head, ratios)}")


def _rates(load: Found | None) -> str:
    if load is None:
        return ""
    return f"{_thousands(load['rows_per_s'])} ({_thousands(load['rows_per_cpu_s'])})"


def _thousands(count: float) -> str:
    return f"{count / 1000:,.{0 if count >= 100_000 else 1 if count >= 10_000 else 2}f}"


def _nothing(part: Found) -> str:
    rows = [
        [name, *_cost(each)]
        for name, each in [
            ("everything to do", part["first"]),
            *(("nothing to do (aim: below 2 s)", again) for again in part["again"]),
        ]
    ]
    title = f"Nothing to do, over {part['payloads']:,} payloads"
    return _section(title, part, _table(["", "seconds", "of computing", "peak MB"], rows))


def _incremental(part: Found) -> str:
    archives = part["archives"]
    rows = [
        [f"{int(count):,} payloads", *_cost(each["second"] | {"peak_mb": each["peak_mb"]})]
        for count, each in archives.items()
    ]
    small, large = (each["second"] for each in archives.values())
    rows.append(
        ["ratio", *(f"{large[name] / small[name]:.1f}" for name in ("seconds", "cpu_s")), ""]
    )
    head = ["100 new payloads in an archive of", "seconds", "of computing", "peak MB"]
    return _section("What is new alone", part, _table(head, rows))


def _real(part: Found) -> str:
    histories = part["histories"]
    rows = [
        [name, f"{each['payloads']:,}", f"{each['records']:,}", *_cost(each)]
        for name, each in histories.items()
        if "skipped" not in each
    ]
    skipped = [each["skipped"] for each in histories.values() if "skipped" in each]
    head = ["history", "payloads", "records", "seconds", "of computing", "peak MB"]
    return _section("Recorded histories", part, "\n".join([_table(head, rows), *skipped]))


def _sql(part: Found) -> str:
    rows = [
        [
            {"typed": "DuckDB's types in the SELECT", "json": "values left as JSON"}[name],
            f"{part['seconds'][f'ours_{name}']:.2f}",
            f"{part['seconds'][f'bare_{name}']:.2f}",
            f"{speed:.2f} ({part['processor_speed'][name]:.2f})",
        ]
        for name, speed in part["speed"].items()
    ]
    head = ["same SELECT", "ours, s", "bare DuckDB, s", "speed (of computing)"]
    said = f"{part['records']:,} records of {part['payloads']:,} payloads; {part['peak_mb']:.0f} MB"
    return _section("Transforms in SQL", part, f"{said} at most.\n\n{_table(head, rows)}")


def _cost(each: Found) -> list[str]:
    return [f"{each['seconds']:.2f}", f"{each['cpu_s']:.2f}", f"{each['peak_mb']:.0f}"]


def _section(title: str, part: Found, text: str) -> str:
    where = part["machine"]
    said = (
        f"`{part['command']}`, {part['took_s']} s, load average {part['load_average']}; "
        f"revision {where['revision']}, {where['cores']} cores ({where['processor']}), "
        f"Python {where['python']}, pyarrow {where['pyarrow']}, duckdb {where['duckdb']}."
    )
    return f"## {title}\n\n{text}\n\n{said}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), ["---"] + ["---:"] * (len(head) - 1), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


_COMPARED = ("first", "forced", "changed")
_PARTS = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "nothing": _nothing,
    "incremental": _incremental,
    "real": _real,
    "sql": _sql,
}
