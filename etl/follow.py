"""Follow the archive: replay each source as segments of it appear, whoever sealed them.

For a program in several processes: extractors that only archive (`extract --watch --no-replay`)
and one process (`replay --watch`) that alone writes derived rows and files.
"""

import logging
import threading
from collections.abc import Iterable

from django.db import DatabaseError, connections
from django.db.models import Count, Max

from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from raw_store.models import Segment
from reshape.errors import ReshapeError
from warehouse.errors import WarehouseError

from .on_change import refresh_unasked

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
RETRY_AFTER_S = 30.0


def follow(sources: Iterable[str], stop: threading.Event) -> None:
    """Replay each source now and whenever its archive has grown, until `stop` is set.

    A replay that fails is logged and tried again; the other sources go on.
    """
    archive = Archive()
    sources = list(sources)
    replayed: dict[str, object] = {}
    while not stop.is_set():
        failed = False
        for source in sources:
            try:
                extent = _extent(source)
                if not stop.is_set() and replayed.get(source) != extent:
                    refresh_unasked(source, archive=archive)
                    replayed[source] = extent
            except (ReshapeError, WarehouseError, ArchiveError, DatabaseError):
                failed = True
                logger.exception("replay failed source=%s retry_in=%.0f", source, RETRY_AFTER_S)
        # A connection that broke is made anew; one that idles for hours is not relied on.
        connections.close_all()
        stop.wait(RETRY_AFTER_S if failed else LOOK_EVERY_S)


def _extent(source: str) -> object:
    """What changes whenever a segment of the source is acknowledged."""
    # By count as well: segments of two processes may be acknowledged out of their names' order.
    return Segment.objects.filter(feed__startswith=f"{source}.").aggregate(
        count=Count("name"), newest=Max("name")
    )
