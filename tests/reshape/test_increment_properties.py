"""Random histories that arrive in parts: touched keys alone end in the rows of a full link."""

from hypothesis import given, settings
from hypothesis import strategies as st

from etl.walk import refresh
from raw_store.archive import Archive
from reshape import link
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


@settings(slow, max_examples=12)
@given(histories(), st.data())
def test_each_increment_ends_in_the_rows_of_a_full_link(history, data):
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
            incremental.append(tables())

        link._extend = told
        try:
            archive_parts(archive, parts, complete_runs, replay)
        finally:
            link._extend = extend
        refresh("sample", archive=Archive(), trust_copies=False)
        full = tables()

    assert incremental[-1] == full
    # The first links everything; each of the others extends what it left.
    assert ways == [True] * (len(parts) - 1)
