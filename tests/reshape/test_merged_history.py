"""The states of a row whose fields are merged: at any moment what link gives as of that moment."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from django.conf import settings as django_settings
from hypothesis import given, settings

from reshape.history import history, write_history
from reshape.link import link
from reshape.models import HeldRow
from tests.making import at
from tests.port.models import Vessel
from tests.reshape.oracle import PORT
from tests.reshape.test_merge_properties import histories
from tests.reshape.test_merge_properties import pytestmark as pytestmark
from tests.reshape.test_replay_properties import archive_parts, fresh_home, slow


@settings(slow, max_examples=4)
@given(histories(feeds=sorted(PORT)))
def test_state_at_any_moment_is_what_link_merges_as_of_then(payloads):
    with fresh_home() as archive:
        archive_parts(archive, [payloads], (), lambda: None, PORT)
        path = Path(django_settings.ROOTCELLAR_HOME) / "history.parquet"
        write_history(Vessel, path, archive=archive)
        states = pq.read_table(path).to_pylist()
        alone = {
            code: [
                (each.valid_from, each.valid_to, str(each.fetch_id), each.values["name"])
                for each in history(Vessel, code, archive=archive)
            ]
            for code in "uvw"
        }
        as_of = {
            moment: rows_as_of(archive, moment)
            for moment in [*sorted({p.fetched_at for p in payloads}), at(60)]
        }

    for moment, (linked, waiting) in as_of.items():
        then = {state["code"]: row_of(state) for state in states if holds(state, moment)}
        held = {code: then.pop(code) for code in then.keys() - linked.keys()}
        assert then == linked
        assert {code: row["fetch_id"] for code, row in held.items()} == waiting
    for code, told in alone.items():
        of_code = [state for state in states if state["code"] == code]
        assert told == [
            (each["valid_from"], each["valid_to"], each["fetch_id"], each["name"])
            for each in of_code
        ]


def rows_as_of(archive, moment):
    """The vessels, and of those that are held the fetch that says them."""
    copies = link("port", archive, as_of=moment).copies
    rows = {model: pq.read_table(path).to_pylist() for model, path in copies.items()}
    waiting = {
        json.loads(row["key"])[0]: row["fetch_id"]
        for row in rows[HeldRow]
        if row["model"] == Vessel._meta.label
    }
    return {row["code"]: row for row in rows[Vessel]}, waiting


def holds(state, moment):
    ends_at = state["valid_to"]
    return state["valid_from"] <= moment and (ends_at is None or moment < ends_at)


def row_of(state):
    return {name: value for name, value in state.items() if not name.startswith("valid_")}
