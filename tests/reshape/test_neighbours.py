"""Links between sources: held, released and taken out as the other source's rows come and go."""

import json
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection

from etl.reconciling import reconcile
from etl.walk import refresh
from raw_store import feeds
from raw_store.archive import Archive
from raw_store.feeds import parse_quarantine_limit
from reshape.errors import LimitExceeded
from reshape.models import HeldRow, QuarantineEntry, SourceState, derived_models
from reshape.neighbours import dependents, find_cycle, graph_of, in_order
from reshape.replay import derive
from tests.ferry.models import Line, Stop
from tests.making import make_payload
from tests.port.models import Boat, Cargo, Pilot, Vessel
from tests.tours.models import Tour

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(home):
    return Archive()


@pytest.fixture
def put(archive):
    def put(feed, body, minute=0, **more):
        archive.append_all(feed, [make_payload(feed, body, minute=minute, **more)])

    return put


def fleet(*codes):
    return {"vessels": [{"code": code, "name": code.upper()} for code in codes]}


TIMETABLE = {
    "lines": [{"code": "north", "vessel_id": "v"}, {"code": "south", "vessel_id": "w"}],
    "stops": [{"line_id": "north", "place": "Aa"}, {"line_id": "south", "place": "Bo"}],
}
TOURS = [{"code": "fjords", "line_id": "north"}, {"code": "skerries", "line_id": "south"}]


def keys():
    return {
        model.__name__: sorted(str(row.pk) for row in model._default_manager.all())
        for model in (Vessel, Line, Stop, Tour)
    }


def waiting():
    return sorted(HeldRow.objects.values_list("model", "target"))


def test_rows_wait_for_their_targets_in_another_source(archive, put):
    put("ferry.timetable", TIMETABLE)
    refresh("ferry", archive=archive)

    assert Line.objects.count() == 0
    assert waiting() == [
        ("ferry.Line", "v"),
        ("ferry.Line", "w"),
        ("ferry.Stop", "north"),
        ("ferry.Stop", "south"),
    ]


def test_a_replay_releases_what_other_sources_held(archive, put):
    put("ferry.timetable", TIMETABLE)
    put("tours.list", TOURS)
    refresh("ferry", archive=archive)
    refresh("tours", archive=archive)
    put("port.registry", fleet("v"))

    done = refresh("port", archive=archive)

    assert keys() == {
        "Vessel": ["v"],
        "Line": ["north"],
        "Stop": ["('north', 'Aa')"],
        "Tour": ["fjords"],
    }
    assert [each.source for each in done.dependents] == ["ferry", "tours"]
    assert [each.loaded.changed_count for each in done.dependents] == [4, 2]
    assert waiting() == [("ferry.Line", "w"), ("ferry.Stop", "south"), ("tours.Tour", "south")]


def test_rows_leave_with_their_targets_in_another_source(archive, put):
    put("port.registry", fleet("v", "w"))
    put("ferry.timetable", TIMETABLE)
    put("tours.list", TOURS)
    for source in ("port", "ferry", "tours"):
        refresh(source, archive=archive)
    put("port.registry", fleet("w"), 1)

    refresh("port", archive=archive)

    assert keys() == {
        "Vessel": ["w"],
        "Line": ["south"],
        "Stop": ["('south', 'Bo')"],
        "Tour": ["skerries"],
    }
    assert waiting() == [("ferry.Line", "v"), ("ferry.Stop", "north"), ("tours.Tour", "north")]
    connection.check_constraints()


def test_a_source_beyond_its_limit_keeps_its_rows_but_for_those_whose_target_is_gone(
    archive, put, monkeypatch
):
    none = replace(feeds.get("ferry.timetable"), quarantine_limit=parse_quarantine_limit(0))
    monkeypatch.setitem(feeds._feeds, "ferry.timetable", none)
    put("port.registry", fleet("v", "w"))
    put("ferry.timetable", TIMETABLE)
    put("ferry.timetable", {"lines": [{"code": "west", "vessel_id": "x"}]}, url="http://b.example/")
    for source in ("port", "ferry"):
        refresh(source, archive=archive)
    put("ferry.timetable", {"lines": []}, 1)
    put("ferry.timetable", {"lines": [{"code": 5}]}, 1, url="http://b.example/")
    with pytest.raises(LimitExceeded):
        refresh("ferry", archive=archive)

    put("port.registry", fleet("v", "w", "x"), 2)
    refresh("port", archive=archive)
    assert (keys()["Line"], waiting()) == (["north", "south"], [("ferry.Line", "x")])
    put("port.registry", fleet("w", "x"), 3)
    refresh("port", archive=archive)

    assert keys()["Line"] == ["south"]
    assert waiting() == [("ferry.Line", "v"), ("ferry.Line", "x"), ("ferry.Stop", "north")]
    assert "whose limit is 0" in SourceState.objects.get(source="ferry").limit_exceeded
    assert QuarantineEntry.objects.get().source == "ferry"
    connection.check_constraints()

    put("ferry.timetable", {"lines": [{"code": "west", "vessel_id": "x"}]}, 4)
    put("ferry.timetable", {"lines": []}, 4, url="http://b.example/")
    refresh("ferry", archive=archive)
    assert (keys()["Line"], waiting()) == (["west"], [])
    assert not reconcile("ferry").problem_count


def test_other_sources_are_left_alone_while_the_keys_stay(archive, put):
    put("port.registry", fleet("v"))
    put("ferry.timetable", TIMETABLE)
    refresh("port", archive=archive)
    refresh("ferry", archive=archive)
    version = SourceState.objects.get(source="ferry").data_version
    put("port.registry", {"vessels": [{"code": "v", "name": "Renamed"}]}, 1)

    done = refresh("port", archive=archive)

    assert done.loaded.changed_count == 1
    assert done.dependents == ()
    assert SourceState.objects.get(source="ferry").data_version == version


def test_targets_are_found_without_their_columnar_copy(archive, put, home):
    put("port.registry", fleet("v"))
    put("ferry.timetable", TIMETABLE)
    refresh("port", archive=archive)
    for copy in (home / "warehouse" / "models").rglob("*.parquet"):
        copy.unlink()

    assert derive("ferry", archive).linked.row_counts["ferry_line"] == 1


def test_a_diff_judges_links_by_the_live_rows(archive, put):
    put("port.registry", fleet("v"))
    put("ferry.timetable", TIMETABLE)

    assert derive("ferry", archive).linked.row_counts["ferry_line"] == 0
    refresh("port", archive=archive)
    assert derive("ferry", archive).linked.row_counts["ferry_line"] == 1


def test_damage_in_either_source_takes_no_row_away(archive, put, home):
    put("port.registry", fleet("v", "w"))
    put("ferry.timetable", TIMETABLE, url="http://ferry.example/1")
    put("ferry.timetable", {"lines": [{"code": "west", "vessel_id": "v"}]})
    refresh("port", archive=archive)
    refresh("ferry", archive=archive)
    first, _ = archive.segments("ferry.timetable")
    (home / "archive" / first.path).write_bytes(b"PAR1 nonsense")
    put("port.registry", fleet("w"), 1)

    done = refresh("port", archive=Archive())

    assert done.loaded.withheld_count == 1
    assert keys()["Vessel"] == ["v", "w"]
    assert keys()["Line"] == ["north", "south", "west"]
    connection.check_constraints()


def test_a_load_that_the_database_refuses_leaves_every_source_as_it_was(archive, put, monkeypatch):
    from reshape import load
    from reshape.errors import LoadFailed

    put("port.registry", fleet("v"))
    put("ferry.timetable", TIMETABLE)
    refresh("ferry", archive=archive)
    advance = load._advance

    def refuse(part, loaded):
        if part.source == "ferry":
            raise IntegrityError("no")
        advance(part, loaded)

    monkeypatch.setattr(load, "_advance", refuse)

    with pytest.raises(LoadFailed, match="no"):
        refresh("port", archive=archive)

    assert keys()["Vessel"] == []
    assert len(waiting()) == 4


def test_rows_of_two_tables_that_need_each_other_load_and_leave_together(archive, put):
    pair = {
        "boats": [{"code": "b", "pilot_id": "p"}],
        "pilots": [{"code": "p", "boat_id": "b"}],
    }
    put("port.registry", pair)
    refresh("port", archive=archive)

    assert (Boat.objects.get().pilot.code, Pilot.objects.get().boat.code) == ("p", "b")
    connection.check_constraints()

    put("port.registry", {"boats": pair["boats"]}, 1)
    refresh("port", archive=archive)

    assert (Boat.objects.count(), Pilot.objects.count()) == (0, 0)
    assert waiting() == [("port.Boat", "p")]
    connection.check_constraints()


def test_listed_links_load_and_django_follows_them(archive, put):
    listed = fleet("v", "w") | {"cargoes": [{"code": "ice"}, {"code": "tar"}]}
    listed["vessels"][0]["cargoes"] = ["ice", "tar"]
    listed["vessels"][1]["cargoes"] = ["tar", "gold"]
    put("port.registry", listed)
    refresh("port", archive=archive)

    assert [cargo.code for cargo in Vessel.objects.get(code="v").cargoes.all()] == ["ice", "tar"]
    assert {vessel.code for vessel in Cargo.objects.get(code="tar").vessels.all()} == {"v", "w"}
    assert waiting() == [("port.VesselCargo", "gold")]

    listed["vessels"][0]["cargoes"] = ["tar"]
    put("port.registry", listed, 1)
    refresh("port", archive=archive)

    assert not Cargo.objects.get(code="ice").vessels.exists()


def test_the_order_and_the_circles_of_sources():
    graph = {
        "tours": frozenset({"ferry", "maps"}),
        "ferry": frozenset({"port"}),
        "port": frozenset[str](),
        "maps": frozenset[str](),
    }

    assert in_order(["tours", "port", "ferry"], graph) == ["port", "ferry", "tours"]
    assert dependents("port", graph) == ["ferry", "tours"]
    assert dependents("tours", graph) == []
    assert find_cycle(graph) == []
    circle = find_cycle(graph | {"port": frozenset({"tours"})})
    assert circle[0] == circle[-1]
    assert set(circle) == {"ferry", "port", "tours"}


def test_the_graph_is_read_from_the_models():
    graph = graph_of(derived_models())

    assert graph["ferry"] == {"port"}
    assert graph["tours"] == {"ferry"}
    assert graph["sample"] == frozenset()


def test_held_rows_are_listed_by_what_they_wait_for(archive, put, capsys):
    timetable = {"lines": [{"code": code, "vessel_id": "v"} for code in "abc"]}
    put("ferry.timetable", timetable | {"stops": [{"line_id": "a", "place": "Aa"}]})
    put("port.sightings", {"vessels": [{"code": "v", "flag": "NO"}]})
    refresh("ferry", archive=archive)
    refresh("port", archive=archive)

    call_command("held")
    listed = capsys.readouterr().out.splitlines()
    call_command("held", "ferry", "--rows", "--limit", "1")
    rows = capsys.readouterr().out.splitlines()
    call_command("held", "port", "--json")
    (group,) = map(json.loads, capsys.readouterr().out.splitlines())

    assert listed == [
        "3 rows of ferry.Line wait for port.Vessel 'v' (vessel), as [\"c\"]",
        '1 row of ferry.Stop waits for ferry.Line \'a\' (line), as ["a","Aa"]',
        '1 row of port.Vessel waits for a payload that gives name, as ["v"]',
        "5 rows are held.",
    ]
    assert rows == [
        "ferry.Line [\"a\"] waits for port.Vessel 'v' (vessel)",
        "… 3 more; --limit 4 shows all",
        "4 rows are held.",
    ]
    assert (group["model"], group["row_count"], group["target"]) == ("port.Vessel", 1, "")
    with pytest.raises(CommandError, match="closest first: port"):
        call_command("held", "prot")


def test_no_held_row_is_said_to_be_none(home, capsys):
    call_command("held")

    assert capsys.readouterr().out == "No row is held.\n"


def test_a_replay_tells_of_the_sources_linked_again(archive, put, capsys):
    put("ferry.timetable", TIMETABLE)
    put("port.registry", fleet("v", "w"))
    call_command("replay", "ferry", verbosity=0)
    capsys.readouterr()

    call_command("replay", "port", "--json", verbosity=0)

    (ferry, *_) = json.loads(capsys.readouterr().out)["dependents"]
    assert (ferry["source"], ferry["held"]) == ("ferry", 0)
    assert {t["table"]: t["added"] for t in ferry["tables"]}["ferry_line"] == 2
