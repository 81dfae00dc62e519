"""The state valid at a moment is the row that link gives as of that moment."""

import json
from collections import defaultdict
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from reshape.history import history, write_history
from reshape.link import link
from reshape.models import HeldRow, derived_models
from reshape.sql import duck
from reshape.sweep import find_winners
from tests.making import START, at, make_payload, run_id
from tests.reshape.oracle import CURRENT
from tests.reshape.test_replay_properties import (
    BODIES,
    archive_parts,
    cut,
    fresh_home,
    histories,
    slow,
)

pytestmark = pytest.mark.django_db(transaction=True)

TICK = timedelta(microseconds=1)


@st.composite
def crowded_histories(draw):
    """Many payloads in few moments, so that some are of the same one."""
    payloads = [
        make_payload(
            draw(st.sampled_from(sorted(CURRENT))),
            draw(BODIES),
            minute=draw(st.integers(0, 3)),
            url=f"http://library.example/{draw(st.integers(1, 2))}",
            status=draw(st.sampled_from([200, 200, 200, 404])),
            run=draw(st.integers(0, 3)),
            sequence=number,
        )
        for number in range(draw(st.integers(8, 20)))
    ]
    return payloads, {run_id(run) for run in draw(st.sets(st.integers(0, 3)))}


@settings(slow, max_examples=3)
@given(st.one_of(histories(), crowded_histories()), st.data())
def test_state_at_any_moment_is_what_link_gives_as_of_then(history_, data):
    payloads, complete_runs = history_
    parts = cut(data, payloads)

    with fresh_home() as archive:
        archive_parts(archive, parts, complete_runs, lambda: None)
        states = {model: every_state(model, archive) for model in derived_models("sample")}
        for moment in [START - TICK, *sorted({p.fetched_at for p in payloads}), at(60)]:
            linked, waiting = rows_as_of(archive, moment)
            for model, found in states.items():
                then = {
                    key_of(model, state): row_of(state) for state in found if holds(state, moment)
                }
                held = {key: then.pop(key) for key in then.keys() - linked[model].keys()}
                assert then == linked[model]
                for key, row in held.items():
                    assert waiting[model._meta.label, key] == row["fetch_id"]
        for model, found in states.items():
            assert_each_row_is_told_alone_as_among_all(model, found, archive)


def every_state(model, archive):
    path = Path(django_settings.ROOTCELLAR_HOME) / "history.parquet"
    write_history(model, path, archive=archive)
    return pq.read_table(path).to_pylist()


def rows_as_of(archive, moment):
    """Model → key → row, and for each held row, by label and key, the fetch that says it."""
    copies = link("sample", archive, as_of=moment).copies
    rows = {model: pq.read_table(path).to_pylist() for model, path in copies.items()}
    for path in copies.values():
        path.unlink()
    linked = {
        model: {key_of(model, row): row for row in rows[model]}
        for model in derived_models("sample")
    }
    waiting = {
        (row["model"], tuple(json.loads(row["key"]))): row["fetch_id"] for row in rows[HeldRow]
    }
    return linked, waiting


def assert_each_row_is_told_alone_as_among_all(model, states, archive):
    by_key = defaultdict(list)
    for state in states:
        by_key[key_of(model, state)].append(state)
    for key, among_all in by_key.items():
        alone = history(model, key, archive=archive)
        assert [
            {
                **s.values,
                "fetch_id": str(s.fetch_id),
                "valid_from": s.valid_from,
                "valid_to": s.valid_to,
            }
            for s in alone
        ] == among_all
        assert all(a.valid_to and a.valid_to <= b.valid_from for a, b in pairwise(alone))


def key_of(model, row):
    return tuple(str(row[field.column]) for field in model._meta.pk_fields)


def row_of(state):
    return {name: value for name, value in state.items() if not name.startswith("valid_")}


def holds(state, moment):
    return state["valid_from"] <= moment and (
        state["valid_to"] is None or moment < state["valid_to"]
    )


LIVES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(1, 40)), min_size=1, max_size=40
)


@settings(max_examples=40, deadline=None)
@given(LIVES)
def test_winner_is_the_newest_series_alive(lives):
    spans = [
        (row, since, start, start + length) for since, (row, start, length) in enumerate(lives)
    ]

    with duck() as connection:
        connection.execute(
            "CREATE TABLE lives "
            "(_row BIGINT, _since BIGINT, valid_from TIMESTAMPTZ, valid_to TIMESTAMPTZ)"
        )
        listed = ", ".join(
            f"({row}, {since}, make_timestamptz({start}), make_timestamptz({end}))"
            for row, since, start, end in spans
        )
        connection.execute(f"INSERT INTO lives VALUES {listed}")
        find_winners(connection)
        won = connection.sql(
            "SELECT _since, epoch_us(valid_from), epoch_us(valid_to) FROM winners"
        ).fetchall()

    alive = {
        (row, moment): max(s for r, s, start, end in spans if r == row and start <= moment < end)
        for row, _, first, last in spans
        for moment in range(first, last)
    }
    told = [
        ((lives[since][0], moment), since)
        for since, start, end in won
        for moment in range(start, end)
    ]
    assert sorted(told) == sorted(alive.items())
