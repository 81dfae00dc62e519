"""What follows when the code of a source's transforms has changed since its rows were loaded.

`etl.policy` says which sources wait then. Rows of two states of the code never stand side by side:
until the replay, payloads that arrive are archived and wait.
"""

import logging
import threading
from typing import Any

from django.db import DatabaseError

from ingest.notices.outbox import add_rows
from raw_store.errors import ArchiveError
from reshape.errors import LimitExceeded, ReshapeError
from reshape.registry import all_transforms
from warehouse.errors import WarehouseError

from .policy import changed_transforms, policy_of
from .telling import changed_rows
from .walk import Refreshed, rebuild_if_moved, refresh

logger = logging.getLogger(__name__)


def refresh_unasked(source: str, **options: Any) -> Refreshed | None:
    """`walk.refresh`, where nobody waits for the outcome.

    None where the code changed and the source's policy is to wait, and where more is in
    quarantine than a feed allows: that is logged, and trying again helps nothing before
    something else is archived.
    """
    policy = policy_of(source)
    if policy != "auto" and (changed := changed_transforms(source)):
        if policy == "ask":
            logger.warning(
                "code changed, the rows stay until `manage.py replay %s` source=%s transforms=%s",
                source,
                source,
                ",".join(changed),
            )
        return None
    try:
        refreshed = refresh(source, **options)
    except LimitExceeded:
        return None
    add_rows(source, changed_rows(refreshed))
    return refreshed


def catch_up(stop: threading.Event) -> None:
    """Replay every source whose code changed and whose policy is `auto`, until `stop` is set.

    Before that, a build that was made in another folder is made anew. What fails is logged; the
    others go on.
    """
    try:
        rebuild_if_moved()
    except (ReshapeError, WarehouseError, DatabaseError):
        logger.exception("build failed")
    for source in sorted({transform.source for transform in all_transforms()}):
        if stop.is_set():
            return
        try:
            if changed_transforms(source):
                refresh_unasked(source)
        except (ReshapeError, WarehouseError, ArchiveError, DatabaseError):
            logger.exception("replay failed source=%s", source)
