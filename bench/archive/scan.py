"""Scan: every payload with its body as `Payload` objects, against pyarrow reading the same files.

pyarrow reads all columns of each file into Arrow and makes no Python objects of them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from raw_store.archive import Archive

from . import clock, floors, home, payloads
from .home import CORPUS, FEED, RESULTS, files_of
from .ours import compact, import_history

Result = dict[str, object]


def measure(folder: Path, *, count: int = 5_000, rounds: int = 5) -> Result:
    """Pages of 10 KB, and one history where it is at hand; hot, and compacted."""
    result: Result = {"payloads": count, "rounds": rounds}
    shapes: dict[str, Callable[[Archive], object]] = {
        "pages": lambda archive: archive.append_all(FEED, payloads.pages(count))
    }
    if (CORPUS / "calfire").is_dir():
        shapes["calfire"] = lambda archive: import_history(archive, "calfire")
    for shape, fill in shapes.items():
        home.forget_everything()
        archive = Archive(str(folder / shape))
        fill(archive)
        result[f"{shape}_hot"] = _compare(archive, folder / shape, rounds)
        if shape == "pages":
            result["profile"] = clock.profile(
                partial(_ours, archive), count, RESULTS / "scan-profile.txt"
            )
        compacted = compact(archive)
        result[f"{shape}_compacted"] = (
            _compare(archive, folder / shape, rounds) if compacted else None
        )
    return result


def _compare(archive: Archive, folder: Path, rounds: int) -> Result:
    files = files_of(folder)
    size = floors.read_arrow(files)
    assert _ours(archive) == size
    taken = clock.interleaved(
        {
            "scan": lambda: _ours(archive),
            "pyarrow": lambda: floors.read_arrow(files),
            "pyarrow_one_thread": lambda: floors.read_arrow_one_thread(files),
        },
        rounds,
    )
    return {
        "files": len(files),
        "body_bytes": size,
        "mb_per_s": {
            name: round(size / 1e6 / clock.median(times)) for name, times in taken.items()
        },
        "against_pyarrow": clock.speed_ratio(taken, "scan", "pyarrow"),
        "against_pyarrow_one_thread": clock.speed_ratio(taken, "scan", "pyarrow_one_thread"),
    }


def _ours(archive: Archive) -> int:
    return sum(len(payload.body or b"") for payload in archive.scan())
