"""Which database rows are read from: the program's own, or that of the moment asked about.

The settings name this router, so every process that opens a database loads it, also one that
has only the archive's app: it imports no model before there is another time to read.
"""

from contextvars import ContextVar
from typing import Any

from django.db import models

past_database: ContextVar[str | None] = ContextVar("past_database", default=None)
"""The alias of the database that the operation at hand reads; null: it is of the present."""


class Router:
    """Leads the reads of an operation of another time to that time's database."""

    def db_for_read(self, model: type[models.Model], **_: Any) -> str | None:
        """The database of the operation at hand; null where it is of the present."""
        alias = past_database.get()
        return alias if alias is not None and _has_past(model) else None


def _has_past(model: type[models.Model]) -> bool:
    from reshape.models import Derived, HeldRow, QuarantineEntry
    from warehouse.models import RollupTable

    return (
        issubclass(model, Derived)
        or hasattr(model, "rollup")
        or model in (QuarantineEntry, HeldRow, RollupTable)
    )
