"""The figures as Markdown tables: what `python -m bench.serve` prints, and RESULTS.md holds."""

from typing import Any

_PEER = "PostGraphile 5, PostgreSQL"
_FLOOR = "floor, SQLite"


def tables(found: dict[str, Any]) -> str:
    """A table for each question and number of clients."""
    parts = []
    for question in ("all items", "one item"):
        for clients, targets in found[question].items():
            parts.append(f"### {question.capitalize()}, {clients}\n\n{_table(targets)}")
    machine = found["machine"]
    parts.append(
        f"`{found['command']}` at revision {machine['revision']}, {machine['cores']} cores, "
        f"{machine['processor']}, load average {found['load_average']}."
    )
    return "\n\n".join(parts) + "\n"


def _table(targets: dict[str, Any]) -> str:
    lines = [
        "| server | median ms | p95 ms | CPU ms | requests/s | median / PostGraphile"
        " | median / SQLite floor |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, figures in targets.items():
        ratios = [
            f"{figures['median_ms'] / targets[other]['median_ms']:.2f}" if other in targets else ""
            for other in (_PEER, _FLOOR)
        ]
        lines.append(
            f"| {name} | {figures['median_ms']:.1f} | {figures['p95_ms']:.1f}"
            f" | {figures['cpu_ms']:.1f} | {figures['per_second']:,.0f}"
            f" | {ratios[0]} | {ratios[1]} |"
        )
    return "\n".join(lines)
