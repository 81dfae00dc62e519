"""Random histories that arrive in parts: touched keys alone end in the rows of a full link."""

import duckdb
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.reconciling import reconcile
from etl.walk import refresh
from raw_store.archive import Archive
from reshape import layers, link
from reshape.models import derived_models
from tests.reshape.test_replay_properties import (
    archive_parts,
    fresh_home,
    histories,
    slow,
    tables,
)
from tests.reshape.test_replay_properties import (
    pytestmark as pytestmark,
)
from warehouse.publish import current_build


@settings(slow, max_examples=6)
@given(histories(), st.sampled_from([0, 0, 1, 50]), st.data())
def test_each_increment_ends_in_the_rows_of_a_full_link(history, rows_per_change, data):
    payloads, complete_runs = history
    order = data.draw(st.permutations(payloads))
    parts = [order[at : at + 2] for at in range(0, len(order), 2)]
    extend, ways = link._extend, []

    def told(*arguments):
        linked = extend(*arguments)
        ways.append(linked is not None)
        return linked

    with fresh_home() as archive:
        incremental = []

        def replay():
            refresh("sample", archive=Archive())
            incremental.append((tables(), rollups(), published()))
            assert not reconcile("sample").copies

        usual, layers.ROWS_PER_CHANGE = layers.ROWS_PER_CHANGE, rows_per_change
        link._extend = told
        try:
            archive_parts(archive, parts, complete_runs, replay)
        finally:
            link._extend, layers.ROWS_PER_CHANGE = extend, usual
        refresh("sample", archive=Archive(), trust_copies=False)
        full = tables(), rollups(), published()

    assert incremental[-1] == full
    # The first links everything; each of the others extends what it left.
    assert ways == [True] * (len(parts) - 1)


def rollups():
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM sample_author_totals ORDER BY 1")
        return cursor.fetchall()


def published():
    """What an analyst reads of the models."""
    with duckdb.connect(current_build(), read_only=True) as build:
        return {
            model: sorted(map(str, build.sql(f"FROM {model._meta.db_table}").fetchall()))
            for model in derived_models("sample")
        }
