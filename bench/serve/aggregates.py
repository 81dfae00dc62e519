"""`python -m bench.serve.aggregates`: aggregates of 10,000,000 rows, from a rollup and without.

600 shops over 60 days. The same question is asked in two ways, in turn: as it is, which a
rollup answers, and with one more measure that no rollup has. Their numbers are compared
before they are timed. Times are of the compiled path, from the variables to the JSON.
It prints one JSON object, and keeps it in build/bench/serve-aggregates.json.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from bench.archive import machine
from bench.archive.home import RESULTS, temporary_folder

_QUESTION = """{ salesAggregate(groupBy: %s, first: 1000, order: {count: DESC}) {
  answeredBy nodes { key { %s } count sum { quantity price } avg { price } max { price } %s } } }"""
_GROUPS = {"600 shops": "shop", "60 days": "soldAtDay", "3 months": "soldAtMonth"}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.serve.aggregates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the table (10,000,000)")
    parser.add_argument("--rounds", type=int, default=15, help="of each question (15)")
    given = parser.parse_args()
    with temporary_folder("aggregates") as home:
        found = _measure(home, given.rows, given.rounds)
    found |= {"load_average": round(os.getloadavg()[1], 1), "machine": machine.describe()}
    text = json.dumps(found, indent=2)
    (RESULTS / "serve-aggregates.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def _measure(home: Path, rows: int, rounds: int) -> dict[str, Any]:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "bench.serve.settings",
        "ROOTCELLAR_HOME": str(home),
        "DATABASE_URL": "",
        "ARCHIVE_URL": "",
        "LOG_LEVEL": "WARNING",
    }
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, run_syncdb=True)
    begun = time.perf_counter()
    _publish(home, rows)
    result: dict[str, Any] = {"rows": rows, "build_s": round(time.perf_counter() - begun, 1)}
    for name, group in _GROUPS.items():
        # The deviation is in no rollup: with it the question is answered from the rows.
        quick, slow = (_QUESTION % (group, group, more) for more in ("", "stddev { quantity }"))
        _compare(quick, slow)
        times: dict[str, list[float]] = {"rollup": [], "rows": []}
        for _ in range(rounds):
            for kind, question in (("rollup", quick), ("rows", slow)):
                begun = time.perf_counter()
                _ask(question)
                times[kind].append((time.perf_counter() - begun) * 1000)
        result[name] = {
            f"{kind}_{figure}_ms": round(value, 2)
            for kind, taken in times.items()
            for figure, value in (("median", statistics.median(taken)), ("max", max(taken)))
        }
    return result


def _publish(home: Path, rows: int) -> None:
    import duckdb
    from django.conf import settings

    from warehouse.build import build, publish

    folder: Path = settings.WAREHOUSE_DIR / "models"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sale.parquet"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "COPY (SELECT '00000000-0000-0000-0000-000000000001' AS fetch_id, "
            "range::INTEGER AS id, (hash(range) % 600)::INTEGER AS shop, "
            "TIMESTAMPTZ '2026-01-01' + to_seconds((hash(range + 1) % 5184000)::BIGINT) "
            "AS sold_at, "
            "(hash(range + 2) % 20)::INTEGER AS quantity, "
            "((hash(range + 3) % 100000) / 100)::DECIMAL(8, 2) AS price "
            f"FROM range({rows})) TO '{path}' (FORMAT parquet)"
        )
    publish(build({"sale": path}))


_documents: dict[str, Any] = {}


def _ask(question: str) -> Any:
    import graphql

    from api.compiled.documents import known_of
    from api.schema import get_api

    if question not in _documents:
        _documents[question] = known_of(graphql.parse(question))
    answer = get_api().compiler.answer(_documents[question], None, {})
    if answer.data is None:
        raise SystemExit(f"The question has no plan: {answer.reason}")
    return answer.data


def _compare(quick: str, slow: str) -> None:
    """Both ways give the same numbers, or the benchmark ends."""
    ours, others = (json.loads(_ask(each))["salesAggregate"] for each in (quick, slow))
    if (ours["answeredBy"], others["answeredBy"]) != ("rollup sales_daily", "columnar copy"):
        raise SystemExit(f"Answered by {ours['answeredBy']} and {others['answeredBy']}.")
    for group in others["nodes"]:
        del group["stddev"]
    if sorted(ours["nodes"], key=json.dumps) != sorted(others["nodes"], key=json.dumps):
        raise SystemExit("The rollup and the rows give other numbers.")


if __name__ == "__main__":
    main()
