"""The figures as Markdown tables: what `python -m bench.archive` prints, and RESULTS.md holds."""

from collections.abc import Iterable, Sequence
from typing import Any

Found = dict[str, Any]

_RIVALS = {
    "gzip_each": "each body gzipped, level 6 (bodies alone)",
    "warc_gz": "WARC.gz with revisits (warcio)",
    "jsonl_gz": "JSON lines, gzipped",
    "git_repacked": "git, `repack -adf`",
    "git_aggressive": "git, `gc --aggressive`",
    "zstd_long_19": "`zstd -19 --long=31` over all bodies (bodies alone)",
}


def tables(known: Found) -> str:
    """Every part that was measured, as Markdown."""
    written = [writer(known[name]) for name, writer in _PARTS.items() if name in known]
    return "\n\n".join(written) + "\n"


def _sizes(part: Found) -> str:
    histories = {
        name: found for name, found in part.items() if isinstance(found, dict) and "hot" in found
    }
    skipped = [
        str(found["skipped"])
        for found in part.values()
        if isinstance(found, dict) and "skipped" in found
    ]
    if not histories:
        return _section("Bytes on disk", part, "\n".join(skipped))
    rows = [
        ["archive, hot segments", *(_count(each["hot"]["bytes"]) for each in histories.values())],
        [
            "archive, compacted",
            *(_count((each["compacted"] or {}).get("bytes")) for each in histories.values()),
        ],
    ]
    rows += [
        [title, *(_count(each["rivals"].get(name)) for each in histories.values())]
        for name, title in _RIVALS.items()
    ]
    aims = [
        _against(histories, "hot", "git_repacked", "hot against git repacked (aim: at most 0.5)"),
        _against(
            histories,
            "compacted",
            "git_aggressive",
            "compacted against git aggressive (aim: at most 0.5)",
        ),
        _against(
            histories,
            "compacted",
            "zstd_long_19",
            "compacted against zstd --long (aim: at most 2)",
        ),
    ]
    table = _table(["bytes", *histories], rows + aims)
    return _section("Bytes on disk", part, "\n".join([table, *skipped]))


def _against(histories: Found, ours: str, rival: str, title: str) -> list[str]:
    cells = [title]
    for each in histories.values():
        size, other = (each[ours] or {}).get("bytes"), each["rivals"].get(rival)
        cells.append(f"{size / other:.2f}" if size and other else "")
    return cells


def _append(part: Found) -> str:
    against = part["against_floor"]
    rows = [
        [
            name.replace("_", " "),
            f"{part['us_per_payload'][name]:.0f}",
            f"{part['mb_per_s'][name]:.0f}",
            f"{against[name]:.2f}" if name in against else "1",
        ]
        for name in part["us_per_payload"]
    ]
    head = ["way", "µs a payload", "MB/s", "speed against its floor (aim: 0.7)"]
    said = (
        f"{part['payloads']:,} pages of {part['mean_body_bytes']:,} bytes on average, "
        f"{part['rounds']} interleaved rounds, medians."
    )
    return _section("Append", part, f"{said}\n\n{_table(head, rows)}")


def _scan(part: Found) -> str:
    rows = [
        [
            name.replace("_", ", "),
            str(each["files"]),
            *(f"{each['mb_per_s'][way]:,}" for way in ("scan", "pyarrow", "pyarrow_one_thread")),
            f"{each['against_pyarrow']:.2f}",
            f"{each['against_pyarrow_one_thread']:.2f}",
        ]
        for name, each in part.items()
        if isinstance(each, dict) and "against_pyarrow" in each
    ]
    head = [
        "archive",
        "files",
        "scan MB/s",
        "pyarrow MB/s",
        "pyarrow, one thread, MB/s",
        "against pyarrow (aim: 0.7)",
        "against one thread",
    ]
    return _section("Full scan, with bodies", part, _table(head, rows))


def _warc(part: Found) -> str:
    rows = [
        [
            verb,
            *(f"{part[f'{verb}_mb_per_s'][way]:.0f}" for way in ("archive", "warcio")),
            f"{part[f'{verb}_against_warcio']:.1f}",
        ]
        for verb in ("write", "read")
    ]
    head = ["", "archive MB/s", "warcio MB/s", "times as fast (aim: 5)"]
    sizes = part["bytes_on_disk"]
    said = (
        f"{part['payloads']:,} pages; {sizes['archive']:,} bytes on disk "
        f"against {sizes['warc']:,} of WARC.gz."
    )
    return _section("Against warcio", part, f"{said}\n\n{_table(head, rows)}")


def _million(part: Found) -> str:
    memory, look_ups = [], []
    for name, shape in part.items():
        if not isinstance(shape, dict) or "archive" not in shape:
            continue
        title = name.replace("_", " ")
        memory += [
            [
                f"{title}: {verb.replace('_', ' ')}",
                f"{each['payloads']:,}",
                f"{each['payloads_per_s']:,}",
                f"{each['peak_mb']:.0f}",
                f"{each['grown_mb']:+.1f}",
            ]
            for verb in ("archive", "scan", "scan_compacted")
            if (each := shape.get(verb))
        ]
        look_ups += [
            [f"{title}, {state}", *_look_up_cells(each)]
            for state in ("hot", "compacted")
            if (each := shape["lookups"].get(state))
        ]
    first = _table(
        ["", "payloads", "payloads a second", "peak MB (aim: below 300)", "grown MB"], memory
    )
    second = _table(
        [
            "",
            "files",
            "all versions: median ms",
            "p95 (aim: below 50)",
            "latest: median ms",
            "p95 (aim: below 50)",
            "SQL: count by status, s",
            "SQL: group by hour, s",
        ],
        look_ups,
    )
    return (
        _section("Memory over small payloads", part, first)
        + "\n\n"
        + _section("Look-ups among them", part, second)
    )


def _look_up_cells(each: Found) -> list[str]:
    cells = [str(each["files"])]
    for asked in ("all_fetches_ms", "latest_ms"):
        found = each.get(asked) or {}
        cells += [f"{found[key]:.1f}" if found else "" for key in ("median", "p95")]
    return cells + [f"{each[key]:.2f}" for key in ("count_by_status_s", "group_by_hour_s")]


def _large_body(part: Found) -> str:
    if "skipped" in part:
        return _section("A large body", part, part["skipped"])
    rows = [
        [verb, f"{each['seconds']:.1f}", f"{each['peak_mb']:.0f}"]
        for verb, each in part["steps"].items()
    ]
    head = ["", "seconds", "peak MB (aim: below 300)"]
    return _section(f"A body of {part['size']:,} bytes", part, _table(head, rows))


def _section(title: str, part: Found, text: str) -> str:
    where = part["machine"]
    said = (
        f"`{part['command']}`, {part['took_s']} s; revision {where['revision']}, "
        f"{where['cores']} cores ({where['processor']}), Python {where['python']}, "
        f"pyarrow {where['pyarrow']}, {where['git']}."
    )
    return f"## {title}\n\n{text}\n\n{said}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), ["---"] + ["---:"] * (len(head) - 1), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


_PARTS = {
    "sizes": _sizes,
    "append": _append,
    "scan": _scan,
    "warc": _warc,
    "million": _million,
    "large_body": _large_body,
}
