"""Merged rows and links between sources are what the payloads say, over random histories."""

from typing import Any
from uuid import UUID

import orjson
import pyarrow.parquet as pq
import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.walk import refresh
from raw_store.archive import Archive
from reshape.models import HeldRow
from reshape.replay import derive
from tests.ferry.models import Line, Stop
from tests.making import make_payload
from tests.port.models import Cargo, Vessel, VesselCargo
from tests.reshape.oracle import FERRY, PORT, expected_ferry, expected_port
from tests.reshape.test_replay_properties import (
    archive_parts,
    compact_perhaps,
    cut,
    fresh_home,
    slow,
)

pytestmark = pytest.mark.django_db(transaction=True)

FEEDS = sorted(PORT | FERRY)
CODES = st.sampled_from("uvw")
VESSELS: st.SearchStrategy[Any] = st.lists(
    st.fixed_dictionaries(
        {"code": CODES},
        optional={
            "name": st.sampled_from(["Ann", "Bo", "Cy"]),
            "flag": st.sampled_from([None, "NO"]),
            "length_m": st.sampled_from([7, 8]),
            "tender_id": st.sampled_from([None, "u", "v"]),
            "cargoes": st.lists(st.sampled_from(["ice", "tar"]), max_size=3),
        },
    ),
    max_size=3,
)
CARGOES: st.SearchStrategy[Any] = st.lists(
    st.builds(dict, code=st.sampled_from(["ice", "tar"]), label=st.sampled_from("xy")), max_size=2
)
LINES: st.SearchStrategy[Any] = st.lists(
    st.builds(dict, code=st.sampled_from("ns"), vessel_id=CODES), max_size=2
)
STOPS: st.SearchStrategy[Any] = st.lists(
    st.builds(
        dict,
        line_id=st.sampled_from("ns"),
        place=st.sampled_from(["Aa", "Bo"]),
        minutes=st.sampled_from([1, 2]),
    ),
    max_size=2,
)
PORT_BODIES: st.SearchStrategy[Any] = st.builds(dict, cargoes=CARGOES, vessels=VESSELS)
FERRY_BODIES: st.SearchStrategy[Any] = st.builds(dict, lines=LINES, stops=STOPS)


@st.composite
def histories(draw, feeds=tuple(FEEDS)):
    payloads = []
    for minute in range(draw(st.integers(1, 9))):
        feed = draw(st.sampled_from(feeds))
        payloads.append(
            make_payload(
                feed,
                draw(FERRY_BODIES if feed in FERRY else PORT_BODIES),
                minute=minute,
                url=f"http://harbour.example/{draw(st.integers(1, 2))}",
                status=draw(st.sampled_from([200, 200, 200, 404])),
            )
        )
    return payloads


@settings(slow, max_examples=12)
@given(histories(feeds=sorted(PORT)))
def test_merged_rows_are_what_the_payloads_say(payloads):
    with fresh_home() as archive:
        archive_parts(archive, [payloads], (), lambda: None, PORT)
        copies = derive("port", archive).linked.copies
        found = {
            name: pq.read_table(copies[model]).to_pylist()
            for name, model in {"vessels": Vessel, "cargoes": Cargo, "links": VesselCargo}.items()
        }
        held = pq.read_table(copies[HeldRow]).to_pylist()

    assert (as_expected(found), {held_key(row) for row in held}) == expected_port(payloads)


@settings(slow, max_examples=4)
@given(histories(), st.data())
def test_sources_that_link_to_each_other_end_alike_in_whatever_order_they_are_replayed(
    payloads, data
):
    with fresh_home() as archive:

        def replay_some():
            compact_perhaps(data, archive)
            for source in data.draw(st.permutations(["port", "ferry"]), "replayed"):
                if data.draw(st.booleans(), source):
                    refresh(source, archive=archive)
                    connection.check_constraints()

        archive_parts(archive, cut(data, payloads), (), replay_some, FEEDS)
        for source in data.draw(st.permutations(["port", "ferry"]), "last"):
            refresh(source, archive=Archive())
        found = {
            "vessels": list(Vessel.objects.values()),
            "cargoes": list(Cargo.objects.values()),
            "links": list(VesselCargo.objects.values()),
            "lines": list(Line.objects.values()),
            "stops": list(Stop.objects.values()),
        }
        held = {held_key(row) for row in HeldRow.objects.values()}
        connection.check_constraints()

    port, held_there = expected_port(payloads)
    ferry, held_here = expected_ferry(payloads, port.get("vessels", {}))
    assert as_expected(found) == port | ferry
    assert held == held_there | held_here


KEYS = {"links": ("vessel_id", "cargo_id"), "stops": ("line_id", "place")}
NAMES = {
    "port.Vessel": "vessels",
    "port.Cargo": "cargoes",
    "port.VesselCargo": "links",
    "ferry.Line": "lines",
    "ferry.Stop": "stops",
}


def as_expected(found):
    """Rows of several models in the oracle's shape; a link is its key and its fetch."""
    shaped: dict[str, dict[Any, Any]] = {}
    for name, rows in found.items():
        for row in rows:
            key = tuple(row[column] for column in KEYS.get(name, ("code",)))
            values = {"fetch_id": row["fetch_id"]} if name == "links" else dict(row)
            values["fetch_id"] = UUID(str(values["fetch_id"]))
            shaped.setdefault(name, {})[key if len(key) > 1 else key[0]] = values
    return shaped


def held_key(row):
    key = orjson.loads(row["key"])
    return NAMES[row["model"]], tuple(key) if len(key) > 1 else key[0]
