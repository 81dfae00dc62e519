"""WARC: the same payloads written and read by the archive and by warcio (gzip, one record each)."""

import shutil
from pathlib import Path

from raw_store.archive import Archive

from . import clock, floors, home, payloads
from .home import FEED

Result = dict[str, object]


def measure(folder: Path, *, count: int = 10_000, rounds: int = 3) -> Result:
    pages = payloads.pages(count)
    size = sum(len(page.body or b"") for page in pages)
    at, warc = folder / "archive", folder / "pages.warc.gz"
    archive = Archive(str(at))
    written: dict[str, list[float]] = {"archive": [], "warcio": []}
    for _ in range(rounds):
        home.forget_everything()
        shutil.rmtree(at, ignore_errors=True)
        written["archive"].append(clock.seconds(lambda: archive.append_all(FEED, pages)))
        written["warcio"].append(clock.seconds(lambda: floors.write_warc(warc, pages)))
    assert floors.read_warc(warc) == size
    read = clock.interleaved(
        {
            "archive": lambda: sum(len(payload.body or b"") for payload in archive.scan(FEED)),
            "warcio": lambda: floors.read_warc(warc),
        },
        rounds,
    )
    return {
        "payloads": count,
        "rounds": rounds,
        "body_bytes": size,
        "bytes_on_disk": {"archive": home.bytes_of(home.files_of(at)), "warc": warc.stat().st_size},
        "write_mb_per_s": _speeds(written, size),
        "read_mb_per_s": _speeds(read, size),
        "write_against_warcio": clock.speed_ratio(written, "archive", "warcio"),
        "read_against_warcio": clock.speed_ratio(read, "archive", "warcio"),
    }


def _speeds(taken: dict[str, list[float]], size: int) -> dict[str, float]:
    return {name: round(size / 1e6 / clock.median(times), 1) for name, times in taken.items()}
