"""Our side: payloads archived beforehand, then replayed into the tables of Django's database."""

import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from bench.archive.memory import peak_mb

from . import payloads
from .home import FEED

Result = dict[str, object]


def cpu_seconds() -> float:
    """What this process and the children it has waited for have computed."""
    spent = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def taken(work: Callable[[], object]) -> dict[str, float]:
    """Seconds by the clock, and of computing."""
    computed, started = cpu_seconds(), time.perf_counter()
    work()
    return {
        "seconds": round(time.perf_counter() - started, 3),
        "cpu_s": round(cpu_seconds() - computed, 3),
    }


def fill(folder: Path, *, count: int, each: int) -> Result:
    """Archive the pages."""
    from raw_store.archive import Archive

    return {"archived": Archive().append_all(FEED, payloads.pages(range(count), each))}


def first_again_changed(folder: Path, *, count: int, each: int) -> Result:
    """The first load; a replay with nothing to do; all of it anew, to the same result; 1 % more."""
    from etl.walk import refresh
    from raw_store.archive import Archive

    from .fires.models import Fire

    archive = Archive()
    if not archive.segments():
        archive.reindex()
    more = max(1, count // 100)
    found: Result = {"first": taken(lambda: refresh("fires"))}
    assert Fire._default_manager.count() == count * each
    found["nothing"] = taken(lambda: refresh("fires"))
    shutil.rmtree(folder / "records")
    found["forced"] = taken(lambda: refresh("fires", trust_copies=False))
    archive.append_all(FEED, payloads.pages(range(more), each, visit=1))
    found["changed"] = taken(lambda: refresh("fires"))
    newest = payloads.pages([0], each, visit=1)
    assert Fire._default_manager.filter(fetch_id=next(newest).fetch_id).count() == each
    return found | {"peak_mb": peak_mb()}


def nothing(folder: Path) -> Result:
    """A replay of this home with nothing to do, after one that had everything to do."""
    from etl.walk import refresh

    return {**taken(lambda: refresh("fires")), "peak_mb": peak_mb()}


def incremental(folder: Path, *, start: int, more: int) -> Result:
    """A replay after `more` new payloads were archived in this home."""
    from etl.walk import refresh
    from raw_store.archive import Archive

    Archive().append_all(FEED, payloads.pages(range(start, start + more), 1))
    found = taken(lambda: refresh("fires"))
    again = Archive().append_all(FEED, payloads.pages(range(start + more, start + 2 * more), 1))
    assert again == more
    second = taken(lambda: refresh("fires"))
    return {"new_payloads": more, "first": found, "second": second, "peak_mb": peak_mb()}


def history(folder: Path, *, source: str) -> Result:
    """A recorded history complete: archive → rows → rollups. Importing it is not in the time."""
    from bench.archive.ours import log_of
    from etl.walk import refresh
    from raw_store.archive import Archive
    from raw_store.importing import import_snapshots
    from raw_store.snapshots import read_log

    log = log_of(source)
    if not log.exists():
        return {"skipped": f"{source}: there is no {log}, so its history is left out."}
    feed = f"histories.{source.partition('-')[0]}"
    imported = import_snapshots(Archive(), feed, read_log(log))
    before = peak_mb()
    done = []
    found = taken(lambda: done.append(refresh("histories")))
    linked = done[0].derivation.linked
    return {
        "payloads": imported.added,
        "records": done[0].derivation.parsed.record_count,
        "rows": {table: rows for table, rows in linked.row_counts.items() if rows},
        **found,
        "peak_mb": peak_mb(),
        "peak_mb_of_the_import": before,
    }
