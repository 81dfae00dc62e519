"""A home of its own for a benchmark of replays, with the sources that only benchmarks have."""

import os
from pathlib import Path

from bench.archive.home import CORPUS, RESULTS, ROOT, temporary_folder

__all__ = ["CORPUS", "FEED", "RESULTS", "ROOT", "set_up", "temporary_folder"]

FEED = "fires.pages"


def set_up(home: Path, *, database_url: str = "") -> None:
    """Set Django up on this home, with its tables and nothing in them."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "etl.settings",
        "ROOTCELLAR_HOME": str(home),
        "ROOTCELLAR_APPS": "bench.replay.fires,bench.replay.histories",
        "DATABASE_URL": database_url,
        "ARCHIVE_URL": "",
        "LOG_LEVEL": "WARNING",
    }
    import django

    django.setup()
    from django.core.management import call_command

    # The benchmarks' own models have no migrations.
    call_command("migrate", run_syncdb=True, verbosity=0)
