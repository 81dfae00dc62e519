"""After an erasure: everything that was derived from the erased fetches is derived anew.

The archive asks for it (`raw_store.followers`); the rows, the rollups and the builds are other
stages', and this is where they meet.
"""

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils import timezone

from ingest.models import FeedStatus, Outcome, Run, Watermark
from raw_store.errors import ArchiveError, NotQuiet
from raw_store.followers import Removed
from raw_store.locks import RECORDS, exclusive
from reshape import staging
from reshape.errors import ReshapeError
from reshape.kept_history import forget_histories
from reshape.records import sweep_temporaries
from reshape.registry import transforms_of
from warehouse.errors import WarehouseError
from warehouse.publish import sweep

from .vintages import clear_vintages
from .walk import refresh

logger = logging.getLogger(__name__)

ALIVE = timedelta(minutes=2)
"""A run that was seen alive so recently is under way."""
ERASED = "(erased)"


class Derived:
    """Keeps what is derived in step with an erasure (`raw_store.followers.Renewer`)."""

    def ensure_quiet(self, feeds: Collection[str]) -> None:
        """Raise `NotQuiet` while a run of one of the feeds is under way."""
        running = Run.objects.filter(
            feed__in=feeds,
            outcome=Outcome.RUNNING,
            heartbeat_at__gt=timezone.now() - ALIVE,
        ).first()
        if running:
            raise NotQuiet(
                f"A run of {running.feed} is under way (process {running.pid} on "
                f"{running.machine}); what it archives may name what is to be erased. Wait for "
                "its end, or stop the server and every extractor, then try again."
            )

    def renew(self, removed: Removed) -> None:
        """Replay the sources, then delete every build, copy and export but those in use."""
        for source in sorted({feed.partition(".")[0] for feed in removed.feeds}):
            if transforms_of(source):
                forget_histories(source)
                _refresh(source)
        clear_vintages()
        with exclusive("load"), exclusive(RECORDS):
            sweep_temporaries(older_than_seconds=0)
            staging.sweep(older_than_seconds=0)
            sweep(only_current=True)
        _forget_addresses(removed)


def _refresh(source: str) -> None:
    try:
        # What is erased goes from the rows too, however much of the source cannot be read.
        refresh(source, despite_quarantine=True)
    except (ReshapeError, WarehouseError) as error:
        raise ArchiveError(
            f"The archive holds nothing of it any more, but the rows of {source} could not be "
            f"derived anew: {error} Then run `manage.py archive erase --resume`."
        ) from error


def _forget_addresses(removed: Removed) -> None:
    """Take the erased addresses out of what runs said, and out of watermarks."""
    for run in Run.objects.filter(feed__in=removed.feeds).exclude(error="", traceback=""):
        _clean(run, ["error", "traceback"], removed.urls)
    for status in FeedStatus.objects.filter(feed__in=removed.feeds).exclude(last_error=""):
        _clean(status, ["last_error"], removed.urls)
    for watermark in Watermark.objects.filter(feed__in=removed.feeds):
        said = f"{watermark.partition} {watermark.value}"
        if any(url in said for url in removed.urls):
            logger.warning("watermark held an erased address, deleted feed=%s", watermark.feed)
            watermark.delete()


def _clean(row: models.Model, names: list[str], urls: Collection[str]) -> None:
    changed: dict[str, Any] = {}
    for name in names:
        text = getattr(row, name)
        for url in urls:
            text = text.replace(url, ERASED)
        if text != getattr(row, name):
            changed[name] = text
    if changed:
        type(row)._default_manager.filter(pk=row.pk).update(**changed)
