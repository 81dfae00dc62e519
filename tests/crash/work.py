"""What a job is given: its home, a way to tell what it did, and the step it is aimed at."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .steps import Steps


@dataclass(kw_only=True)
class Work:
    """A job, in the process that does it."""

    home: Path
    aim: dict[str, Any] | None
    tell: Callable[..., None]
    """Says something that is true by now, such as what is acknowledged."""

    def move_in(self, archive: Path | None = None) -> None:
        """Make `home` this process's home folder. Nothing may have been opened before."""
        from django.conf import settings
        from django.db import connection

        settings.ROOTCELLAR_HOME = self.home
        settings.ARCHIVE_URL = str(archive or self.home / "archive")
        settings.RECORDS_DIR = self.home / "records"
        settings.WAREHOUSE_DIR = self.home / "warehouse"
        connection.settings_dict["NAME"] = str(self.home / "db.sqlite3")

    def watch(self) -> "Steps":
        """Count this process's steps from here on, and act at the one aimed at."""
        from .steps import Aim, Steps

        steps = Steps(self.home, Aim(**self.aim) if self.aim else None)
        steps.watch()
        return steps


def migrate(work: Work) -> None:
    """Make an empty database."""
    from django.core.management import call_command
    from django.db import connection

    work.move_in()
    call_command("migrate", verbosity=0)
    connection.close()


def clear_up(work: Work) -> None:
    """What an operator runs after a crash: `archive gc`, without grace, and `archive verify`."""
    from raw_store.archive import Archive

    work.move_in()
    archive = Archive()
    found = archive.gc(grace=timedelta(0))
    problems = [problem for report in archive.verify() for problem in report.problems]
    work.tell(
        problems=problems + [str(error) for error in found.damaged],
        adopted=sum(info.row_count for info in found.adopted),
        removed=len(found.removed),
    )


def reindex(work: Work, archive: str) -> None:
    """Rebuild the index of an archive in a database that knows nothing of it."""
    from raw_store.archive import Archive

    work.move_in(Path(archive))
    found = Archive().reindex()
    work.tell(problems=[str(error) for error in found.damaged])


def tell_in_parts(work: Work, name: str, values: list[str]) -> None:
    """Tell many values: a line that is longer than a pipe takes at once could be torn."""
    size = len(json.dumps(values[:1])) + 8
    step = max(1, 3000 // size)
    for start in range(0, len(values), step):
        work.tell(**{name: values[start : start + step]})
