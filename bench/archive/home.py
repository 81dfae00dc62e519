"""A home of its own for a benchmark: a folder with an SQLite index, made before Django reads it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "bench"
CORPUS = ROOT.parent / "shared" / "corpus"

FEED = "bench.pages"


@contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A folder below `build/bench`, on the disk the project lies on, removed afterwards."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=RESULTS))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def set_up(home: Path) -> None:
    """Set Django up on this home, migrated, with the benchmark's feed declared."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "etl.settings",
        "ROOTCELLAR_HOME": str(home),
        "DATABASE_URL": "",
        "ARCHIVE_URL": "",
        "LOG_LEVEL": "WARNING",
    }
    import django

    django.setup()
    from django.core.management import call_command

    from raw_store import feeds

    call_command("migrate", verbosity=0)
    feeds.declare(feeds.Feed(name=FEED, current="all"))


def forget_everything() -> None:
    """Empty the index, so that a run does not pay for the rows of the one before."""
    from raw_store import models

    for model in vars(models).values():
        if isinstance(model, type) and model.__module__ == models.__name__:
            model.objects.all().delete()  # type: ignore[attr-defined]


def files_of(folder: Path) -> list[Path]:
    """The archive's Parquet files below a folder, hidden ones left out."""
    return sorted(
        path for path in folder.rglob("*.parquet") if not path.name.startswith((".", "_"))
    )


def bytes_of(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths)
