"""The store of vintages: made once each, however many ask; few, and within a size.

    vintages/KEY.sqlite3     never changed; used last is what its time says

A file that is swept while it is read stays readable to whoever has it open.
"""

import logging
import os
import shutil
import time
from datetime import datetime
from pathlib import Path

from django.conf import settings

from raw_store.errors import ArchiveError
from raw_store.locks import exclusive
from reshape.errors import ReshapeError
from warehouse.errors import WarehouseError

from .errors import VintageRefused
from .making import make_vintage
from .moment import Moment, moment_of

logger = logging.getLogger(__name__)

LEFTOVER_GRACE_S = 3600.0


def find_vintage(at: datetime) -> Path:
    """The file with every table as of a moment; makes it where it is not there yet.

    Whoever asks while it is made waits for it. Raises `VintageRefused`.
    """
    if settings.AS_OF_VINTAGES < 1:
        raise VintageRefused("@asOf is switched off here (AS_OF_VINTAGES=0).")
    moment = moment_of(at)
    path = _folder() / f"{moment.key}.sqlite3"
    if not _touch(path):
        with exclusive("vintage"):
            # Whoever had the lock may have made it.
            if not _touch(path):
                _make(moment, path)
                sweep_vintages(keep=path)
    return path


def sweep_vintages(*, keep: Path | None = None) -> list[Path]:
    """Remove what was used longest ago, beyond the number and the size that are kept."""
    folder = _folder()
    files = sorted(folder.glob("*.sqlite3"), key=_used_at, reverse=True)
    files.sort(key=lambda path: path != keep)
    removed, size = [], 0
    for position, path in enumerate(files):
        size += _size(path)
        is_over = position >= settings.AS_OF_VINTAGES or size > settings.AS_OF_MAX_BYTES
        if is_over and path != keep:
            path.unlink(missing_ok=True)
            removed.append(path)
            logger.info("vintage swept name=%s", path.name)
    return removed


def clear_vintages() -> None:
    """Remove all of them, and what a killed process left: something was erased."""
    with exclusive("vintage"):
        for path in _folder().glob("*.sqlite3"):
            path.unlink(missing_ok=True)
        _sweep_leftovers(0)


def _make(moment: Moment, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_leftovers(LEFTOVER_GRACE_S)
    try:
        make_vintage(moment, path)
    except (ReshapeError, WarehouseError, ArchiveError) as error:
        logger.exception("vintage not made cut=%s", moment.cut.isoformat())
        raise VintageRefused(
            f"The rows of {moment.cut.isoformat()} cannot be derived; the server's log says why."
        ) from error


def _sweep_leftovers(grace: float) -> None:
    for left in _folder().glob(".*.tmp"):
        if time.time() - _used_at(left) > grace:
            shutil.rmtree(left, ignore_errors=True)


def _touch(path: Path) -> bool:
    """Note that a file is used; false where there is none."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _folder() -> Path:
    return Path(settings.ROOTCELLAR_HOME) / "vintages"
