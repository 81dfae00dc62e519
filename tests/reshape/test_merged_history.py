"""The states of a row whose fields are merged: at any moment what link gives as of that moment."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.conf import settings as django_settings
from hypothesis import given, settings

from raw_store.archive import Archive
from reshape.columns import columns_of
from reshape.history import history, write_history
from reshape.link import link
from reshape.models import HeldRow
from tests.making import at, make_payload
from tests.port.models import Vessel, VesselCargo
from tests.reshape.oracle import PORT
from tests.reshape.test_merge_properties import histories
from tests.reshape.test_merge_properties import pytestmark as pytestmark
from tests.reshape.test_replay_properties import archive_parts, fresh_home, slow


@pytest.fixture
def archive(home):
    return Archive()


@pytest.mark.parametrize("model", [Vessel, VesselCargo])
def test_state_at_any_moment_is_what_link_merges_as_of_then(model):
    @settings(slow, max_examples=4)
    @given(histories(feeds=sorted(PORT)))
    def agrees(payloads):
        with fresh_home() as archive:
            archive_parts(archive, [payloads], (), lambda: None, PORT)
            path = Path(django_settings.ROOTCELLAR_HOME) / "history.parquet"
            write_history(model, path, archive=archive)
            states = pq.read_table(path).to_pylist()
            keys = {key_of(model, state) for state in states}
            alone = {
                key: [as_told(each) for each in history(model, key, archive=archive)]
                for key in keys
            }
            as_of = {
                moment: rows_as_of(model, archive, moment)
                for moment in [*sorted({p.fetched_at for p in payloads}), at(60)]
            }

        for moment, (linked, waiting) in as_of.items():
            then = {key_of(model, state): row_of(state) for state in states if holds(state, moment)}
            held = {key: then.pop(key) for key in then.keys() - linked.keys()}
            assert then == linked
            assert {key: row["fetch_id"] for key, row in held.items()} == waiting
        for key, told in alone.items():
            assert told == [state for state in states if key_of(model, state) == key]

    agrees()


def test_a_link_that_a_row_lists_has_the_states_of_that_row(archive):
    bodies = [
        {"vessels": [{"code": "v", "name": "V", "cargoes": ["coal"]}]},
        {"vessels": [{"code": "v", "name": "W", "cargoes": ["coal", "tea"]}]},
        {"vessels": [{"code": "v", "name": "W", "cargoes": ["tea"]}]},
    ]
    payloads = [
        make_payload("port.registry", body, minute=minute) for minute, body in enumerate(bodies)
    ]
    archive.append_all("port.registry", payloads)
    first, second, third = (payload.fetch_id for payload in payloads)

    coal, tea = (history(VesselCargo, ("v", cargo)) for cargo in ("coal", "tea"))

    assert [(each.valid_from, each.valid_to, each.fetch_id) for each in coal] == [
        (at(0), at(1), first),
        (at(1), at(2), second),
    ]
    assert [(each.valid_from, each.valid_to, each.fetch_id) for each in tea] == [
        (at(1), at(2), second),
        (at(2), None, third),
    ]


def rows_as_of(model, archive, moment):
    """The model's rows, and of those that are held the fetch that says them."""
    copies = link("port", archive, as_of=moment).copies
    rows = {each: pq.read_table(path).to_pylist() for each, path in copies.items()}
    waiting = {
        tuple(json.loads(row["key"])): row["fetch_id"]
        for row in rows[HeldRow]
        if row["model"] == model._meta.label
    }
    return {key_of(model, row): row for row in rows[model]}, waiting


def key_of(model, row):
    return tuple(row[name] for name in columns_of(model).key)


def as_told(state):
    return {
        **state.values,
        "fetch_id": str(state.fetch_id),
        "valid_from": state.valid_from,
        "valid_to": state.valid_to,
    }


def holds(state, moment):
    ends_at = state["valid_to"]
    return state["valid_from"] <= moment and (ends_at is None or moment < ends_at)


def row_of(state):
    return {name: value for name, value in state.items() if not name.startswith("valid_")}
