"""Old record files: those of code that is no longer the present one are removed after a while.

They stay for some days after their last use: whoever goes back to the earlier code finds them, and
`replay --diff --against` compares with them. What the live rows were made of always stays.
"""

import logging
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from raw_store.feeds import parse_retention

from .models import SourceState
from .parse import label_of
from .records import OUTCOMES, SLICES
from .registry import all_transforms

logger = logging.getLogger(__name__)

_LABEL = re.compile(r".+@[0-9a-f]{16}")


@dataclass(slots=True, kw_only=True)
class Swept:
    """What a sweep removed."""

    labels: list[str]
    """The folders, `TRANSFORM@FINGERPRINT`."""
    freed_bytes: int = 0


def grace() -> timedelta:
    """How long record files outlive their last use: the setting `RECORDS_GRACE`."""
    try:
        return parse_retention(settings.RECORDS_GRACE)
    except ValueError:
        raise ImproperlyConfigured(
            f"RECORDS_GRACE is {settings.RECORDS_GRACE!r}; write a whole number above zero and a "
            "unit, for example 36h, 7d or 2w."
        ) from None


def sweep_records(older_than: timedelta | None = None) -> Swept:
    """Remove the record files of earlier code that were not used for `older_than`, by default
    `RECORDS_GRACE`. Call it while nothing is derived (`exclusive("load")` and of `RECORDS`).
    """
    limit = time.time() - (grace() if older_than is None else older_than).total_seconds()
    kept = labels_in_use()
    root = Path(settings.RECORDS_DIR)
    swept = Swept(labels=[])
    for label in sorted(path.name for path in (root / OUTCOMES).glob("*@*")):
        if label in kept or not _LABEL.fullmatch(label):
            continue
        if (root / OUTCOMES / label).stat().st_mtime > limit:
            continue
        # The outcomes first: without them nothing counts as parsed.
        rest = sorted([*root.glob(f"*/{label}"), *root.glob(f"{SLICES}/*/*/{label}")])
        for folder in [root / OUTCOMES / label, *rest]:
            swept.freed_bytes += _remove(folder)
        swept.labels.append(label)
    logger.info("records swept folders=%d bytes=%d", len(swept.labels), swept.freed_bytes)
    return swept


def labels_in_use() -> set[str]:
    """The labels of the present code, and of the code that the live rows were made with."""
    present = {label_of(transform) for transform in all_transforms()}
    return present.union(*map(_labels_of, SourceState.objects.all()))


def _labels_of(state: SourceState) -> Iterable[str]:
    return {f"{name}@{fingerprint}" for name, fingerprint in state.fingerprints.items()}


def _remove(folder: Path) -> int:
    """Remove a folder of files; return how many bytes that frees."""
    if not folder.is_dir():
        return 0
    freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return freed
