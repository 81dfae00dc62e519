"""The rows of a source as they were last loaded, where nothing is new or nothing may change."""

from dataclasses import replace

from django.db import connection as database

from .columns import columns_of
from .copies import present_copy, restore_copies
from .holding import Targets, find_targets, hold
from .layers import count_rows, rows_in
from .link import Linked, write_reports, write_rows
from .models import HeldRow, QuarantineEntry, SourceState, derived_models
from .neighbours import targets_elsewhere
from .sql import duck, empty_table, quoted
from .tables import Scope, read_table


def loaded_inputs(source: str) -> str:
    """What the source's rows were linked from when they were last loaded; empty if not known."""
    state = SourceState.objects.filter(source=source).first()
    return state.inputs if state else ""


def as_loaded(source: str) -> Linked | None:
    """The rows of a source as they were last loaded; None where a copy of them is missing."""
    linked = Linked(source=source, copies={}, row_counts={})
    for model in derived_models(source):
        path = present_copy(model)
        if path is None:
            return None
        linked.copies[model] = path
        linked.row_counts[model._meta.db_table] = count_rows(path)
    linked.held_count = HeldRow.objects.filter(source=source).count()
    entries = QuarantineEntry.objects.filter(source=source)
    linked.quarantined_count = entries.count()
    linked.rejected_count = entries.filter(ordinal__gte=0).count()
    return linked


def keep_loaded(linked: Linked, targets: Targets) -> Linked:
    """The rows of a source as they were last loaded, but for those that would lack a target.

    The quarantine is that of `linked`, copied; where it has none, as it was loaded.
    """
    source = linked.source
    derived = derived_models(source)
    kept = replace(linked, copies={}, row_counts={})
    restore_copies(derived)
    with duck() as connection:
        for model in derived:
            table, columns = model._meta.db_table, columns_of(model)
            connection.execute(empty_table(f"linked_{table}", columns.schema))
            if path := present_copy(model):
                rows = rows_in(path, columns)
                connection.execute(f"INSERT INTO linked_{table} BY NAME {rows}")
        find_targets(connection, targets_elsewhere(source), targets)
        hold(connection, derived, source)
        reports = {"held": HeldRow, "quarantine": QuarantineEntry}
        connection.execute(empty_table("quarantine", columns_of(QuarantineEntry).schema))
        if judged := linked.copies.get(QuarantineEntry):
            del reports["quarantine"]
            rows = f"FROM read_parquet({quoted(str(judged))})"
            connection.execute(f"INSERT INTO quarantine BY NAME {rows}")
        for name, report in reports.items():
            for batch in read_table(database, report, Scope(column="source", value=source)):
                connection.register("batch", batch)
                connection.execute(f"INSERT INTO {name} BY NAME FROM batch")
                connection.unregister("batch")
        write_reports(connection, kept)
        for model in derived:
            write_rows(connection, model, f"linked_{model._meta.db_table}", kept)
    return kept
