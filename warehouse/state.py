"""What is noted of builds in the serving database: how old rows are, and which asserts failed."""

from collections.abc import Mapping
from datetime import datetime

from django.db import models
from django.utils import timezone

from .errors import AssertFailed
from .models import FailedAssert, RollupTable


def note_computed(computed_at: Mapping[type[models.Model], datetime]) -> None:
    """Note when the rows of each rollup were computed. Call it in the load's transaction."""
    known = dict(RollupTable.objects.values_list("table", "computed_at"))
    for model, at in computed_at.items():
        table = model._meta.db_table
        if known.get(table) != at:
            RollupTable.objects.filter(table=table).update(computed_at=at)


def note_failure(source: str, failure: AssertFailed) -> None:
    """Remember which assert keeps a source's replay from being loaded."""
    FailedAssert.objects.update_or_create(
        source=source,
        defaults={
            "rollup": failure.rollup,
            "assertion": failure.assertion,
            "samples": failure.samples,
            "failed_at": timezone.now(),
        },
    )


def forget_failures(source: str = "") -> None:
    """What was noted against a source is settled: it is about to be loaded; without one, all is.

    Call it in the load's transaction.
    """
    found = FailedAssert.objects.all()
    (found.filter(source=source) if source else found).delete()
