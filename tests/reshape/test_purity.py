"""Purity: what a transform may not do is refused, and what cannot be refused is found."""

import socket
import sys
import threading
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from raw_store.archive import Archive
from reshape import registry
from reshape.errors import Impure
from reshape.parse import label_of, parse_segments
from reshape.purity import guarding, run_guarded
from reshape.purity_check import PurityUnknown, check_purity
from reshape.records import OUTCOMES, records_dir
from reshape.testing import assert_pure
from tests.making import make_payload
from tests.sample.models import Author

from . import impure

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = {
    impure.connects: "used the network",
    impure.resolves: "used the network",
    impure.hides_what_it_did: "used the network",
    impure.queries: "used the database",
    impure.opens_a_database: "used the database",
    impure.starts_a_process: "started a process",
    impure.spawns_a_process: "started a process",
    impure.has_a_thread_ask: "started a thread",
    impure.writes_a_file: "wrote to the disk",
}


@pytest.mark.parametrize("transform", REFUSED, ids=lambda each: each.__name__)
def test_what_reaches_beyond_the_payload_is_refused(transform):
    Author.objects.exists()  # the connection is open: even that one may not be used

    with guarding(), pytest.raises(Impure, match=REFUSED[transform]):
        run_guarded(transform, make_payload("sample.pages", {}))


def test_reading_files_and_importing_modules_is_allowed():
    with guarding():
        (row,) = run_guarded(impure.pure, make_payload("sample.pages", {}))

    assert row.values["code"] == "a"


def test_nothing_is_refused_outside_of_a_transform(tmp_path):
    payload = make_payload("sample.pages", {})
    with guarding():
        with pytest.raises(Impure):
            run_guarded(impure.resolves, payload)
        (tmp_path / "file").write_text("x")
        socket.getaddrinfo("localhost", 80)

    assert Author.objects.count() == 0


def test_other_threads_go_on_while_a_transform_runs():
    begun, finished = threading.Event(), threading.Event()
    found = []

    def resolve():
        begun.wait(10)
        found.append(socket.getaddrinfo("127.0.0.1", 80))
        finished.set()

    def waits(payload):
        begun.set()
        assert finished.wait(10)
        yield from impure._row()

    thread = threading.Thread(target=resolve)
    thread.start()
    with guarding():
        run_guarded(waits, make_payload("sample.pages", {}))
    thread.join()

    assert found


def test_an_impure_transforms_payloads_are_quarantined(home, monkeypatch):
    pages = registry._transforms["sample.transform_pages"]
    changed = replace(pages, function=impure.connects, code_digest="impure")
    monkeypatch.setitem(registry._transforms, pages.name, changed)
    archive = Archive()
    archive.append_all("sample.pages", [make_payload("sample.pages", {})])

    parsed = parse_segments([changed], archive)

    (path,) = records_dir(OUTCOMES, label_of(changed)).glob("*.parquet")
    (outcome,) = pq.read_table(path).to_pylist()
    assert parsed.quarantined_count == 1
    assert outcome["error"] == "Impure"
    assert "sample.transform_pages (line " in outcome["message"]
    assert "used the network (socket." in outcome["message"]


FOUND = {
    impure.pure: None,
    impure.reads_the_clock: "sample.Author.name",
    impure.reads_the_time: "sample.Author.name",
    impure.reads_the_universal_time: "sample.Author.name",
    impure.reads_the_clock_of_the_machine: "sample.Author.name",
    impure.imports_the_clock_where_it_reads_it: "sample.Author.name",
    impure.reads_the_local_time: "sample.Author.name",
    impure.throws_dice: "sample.Author.name",
    impure.iterates_over_a_set: "the order of the rows",
    impure.connects: "an act",
}


def does_as_told(payload):
    """The transform that the payload names: one check is enough for all of them."""
    yield from getattr(impure, payload.json()["run"])(payload)


@pytest.fixture
def light(monkeypatch):
    """Processes that load little."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.crash.settings")


def test_what_depends_on_clock_zone_seed_or_dice_is_found_and_named(light):
    payloads = {
        transform: make_payload("sample.pages", {"run": transform.__name__}, minute=minute)
        for minute, transform in enumerate(FOUND)
    }

    found = check_purity(does_as_told, payloads.values(), name="sample.does_as_told")

    fields = {each.fetch_id: each.field for each in found}
    assert {t: fields.get(str(payloads[t].fetch_id)) for t in FOUND} == FOUND
    clock = next(each for each in found if each.field == "sample.Author.name")
    assert clock.first != clock.second
    assert str(clock).startswith("sample.does_as_told: sample.Author.name is '")


def test_assert_pure_names_what_differs(light):
    payload = make_payload("sample.pages", {})

    with pytest.raises(AssertionError, match=r"throws_dice: sample\.Author\.name is"):
        assert_pure(impure.throws_dice, [payload])


def test_a_transform_that_no_other_process_can_import_is_named():
    def local(payload):
        yield from ()

    with pytest.raises(PurityUnknown, match="defined inside a function"):
        check_purity(local, [])


def test_the_command_checks_a_sample_and_says_what_is_impure(light, home, monkeypatch, capsys):
    archive = Archive()
    archive.append_all("sample.pages", [make_payload("sample.pages", {})])
    pages = registry._transforms["sample.transform_pages"]
    changed = replace(pages, function=impure.throws_dice)
    monkeypatch.setattr(registry, "_transforms", {pages.name: changed})

    with pytest.raises(CommandError, match="follow from its payload alone"):
        call_command("check_purity", "sample")

    assert capsys.readouterr().out.startswith("sample.transform_pages: sample.Author.name is '0.")


def test_a_module_may_be_imported_and_compiled_while_a_transform_runs(tmp_path, monkeypatch):
    (tmp_path / "just_written.py").write_text("ANSWER = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    def importing():
        import just_written  # type: ignore[import-not-found]

        yield just_written.ANSWER

    with guarding():
        assert run_guarded(importing) == [42]
    assert list(tmp_path.glob("__pycache__/just_written*.pyc"))
