"""What follows when the code of a source's transforms has changed since its rows were loaded.

    auto     the rows are derived anew as soon as it is noticed
    ask      the rows stay as they are until someone runs `replay`; the log asks for it
    never    as `ask`, and the log is silent

Rows of two states of the code never stand side by side: until the replay, payloads that arrive are
archived and wait. `REPLAY_ON_CHANGE` says which, for all sources and for single ones.
"""

import logging
import threading
from typing import Any, Literal, cast, get_args

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from ingest.notices.outbox import add_rows
from raw_store.errors import ArchiveError
from reshape.errors import LimitExceeded, ReshapeError
from reshape.fingerprint import fingerprint
from reshape.models import SourceState
from reshape.registry import all_transforms, transforms_of
from warehouse.errors import WarehouseError

from .telling import changed_rows
from .walk import Refreshed, refresh

logger = logging.getLogger(__name__)

Policy = Literal["auto", "ask", "never"]


def policy_of(source: str) -> Policy:
    """What `REPLAY_ON_CHANGE` says for a source. Raises `ImproperlyConfigured`."""
    every, own = "auto", None
    for part in settings.REPLAY_ON_CHANGE.split(","):
        name, _, said = part.strip().rpartition("=")
        if said not in get_args(Policy):
            raise ImproperlyConfigured(
                f"REPLAY_ON_CHANGE says {part.strip()!r}; write auto, ask or never, and after it "
                'what differs for single sources: "auto,quakes=ask".'
            )
        if not name:
            every = said
        elif name == source:
            own = said
    return cast(Policy, own or every)


def changed_transforms(source: str) -> list[str]:
    """The transforms that are new, changed or gone since the source's rows were last loaded.

    None where they never were.
    """
    state = SourceState.objects.filter(source=source).first()
    if state is None:
        return []
    present = {transform.name: fingerprint(transform) for transform in transforms_of(source)}
    names = present.keys() | state.fingerprints.keys()
    return sorted(n for n in names if present.get(n) != state.fingerprints.get(n))


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

    A source that fails is logged; the others go on.
    """
    for source in sorted({transform.source for transform in all_transforms()}):
        if stop.is_set():
            return
        try:
            if changed_transforms(source):
                refresh_unasked(source)
        except (ReshapeError, WarehouseError, ArchiveError, DatabaseError):
            logger.exception("replay failed source=%s", source)
