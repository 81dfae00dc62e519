"""Incremental links: what was touched is linked again, and the rows are those of a full one."""

from datetime import timedelta
from typing import Any

import duckdb
import pytest
from django.db import connection
from django.db.models import Model

from etl.walk import refresh
from raw_store import compaction
from raw_store.archive import Archive
from raw_store.models import Segment
from reshape import link
from reshape.link_state import state_path
from reshape.models import HeldRow, QuarantineEntry, SourceState, derived_models
from tests.making import make_payload
from tests.sample.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(home):
    return Archive()


@pytest.fixture
def ways(monkeypatch):
    """How each link went: "touched" where only touched keys were linked, else "all"."""
    found = []
    extend = link._extend

    def told(*arguments):
        linked = extend(*arguments)
        found.append("touched" if linked else "all")
        return linked

    monkeypatch.setattr(link, "_extend", told)
    return found


def put(archive, minute, page, status=200, **body: Any):
    url = f"http://library.example/{page}"
    payload = make_payload("sample.pages", body, minute=minute, url=url, status=status)
    archive.append_all("sample.pages", [payload])


def author(code, name="n"):
    return {"code": code, "name": name}


def book(code, of):
    return {"code": code, "title": "T", "author_id": of}


def everything():
    every: list[type[Model]] = [*derived_models("sample"), QuarantineEntry, HeldRow]
    return {model: sorted(map(str, model._default_manager.values_list())) for model in every}


def assert_as_linked_in_full(archive):
    incremental = everything()
    refresh("sample", archive=Archive(), trust_copies=False)
    assert everything() == incremental


def test_only_new_segments_are_looked_at(archive, ways, monkeypatch):
    put(archive, 0, 1, authors=[author("a"), author("b")])
    refresh("sample", archive=archive)
    put(archive, 1, 2, authors=[author("b", "newer"), author("c")])

    def refuse(*_, **__):
        raise AssertionError("every capture was read")

    with monkeypatch.context() as patched:
        patched.setattr(Archive, "captures", refuse)
        done = refresh("sample", archive=Archive())

    assert ways == ["touched"]
    assert done.loaded.differences["sample_author"].total == 2
    assert dict(Author.objects.values_list("code", "name")) == {"a": "n", "b": "newer", "c": "n"}
    assert_as_linked_in_full(archive)


def test_a_page_that_says_less_takes_its_rows_along(archive, ways):
    put(archive, 0, 1, authors=[author("a"), author("b")])
    put(archive, 1, 2, authors=[author("c")])
    refresh("sample", archive=archive)
    put(archive, 2, 1, authors=[author("a")])
    refresh("sample", archive=archive)
    assert set(Author.objects.values_list("code", flat=True)) == {"a", "c"}
    put(archive, 3, 2, status=404)
    refresh("sample", archive=archive)

    assert ways == ["touched", "touched"]
    assert Author.objects.get().code == "a"
    assert_as_linked_in_full(archive)


def test_rows_are_held_and_released(archive, ways):
    put(archive, 0, 1, books=[book("x", "a"), book("y", "b")])
    put(archive, 1, 2, authors=[author("b")])
    refresh("sample", archive=archive)
    assert HeldRow.objects.get().key == '["x"]'
    put(archive, 2, 3, authors=[author("a")])
    refresh("sample", archive=archive)
    assert (Book.objects.count(), HeldRow.objects.count()) == (2, 0)
    put(archive, 3, 2, authors=[])
    refresh("sample", archive=archive)

    assert ways == ["touched", "touched"]
    assert Book.objects.get().code == "x"
    assert HeldRow.objects.get().key == '["y"]'
    assert_as_linked_in_full(archive)


def test_quarantine_grows_and_clears(archive, ways):
    put(archive, 0, 1, authors=[author("a", 5)])
    put(archive, 1, 2, authors=[author("b", 5)])
    refresh("sample", archive=archive)
    put(archive, 2, 1, authors=[author("a")])
    put(archive, 3, 3, authors=[author("c", 5)])
    refresh("sample", archive=archive)

    assert ways == ["touched"]
    assert_as_linked_in_full(archive)
    assert Author.objects.get().code == "a"


def test_older_history_that_arrives_later_is_put_in_its_place(archive, ways):
    put(archive, 10, 1, authors=[author("a", "new")])
    refresh("sample", archive=archive)
    put(archive, 5, 1, authors=[author("a", "old"), author("b")])
    refresh("sample", archive=archive)

    assert ways == ["touched"]
    assert Author.objects.get().name == "new"
    assert_as_linked_in_full(archive)


def test_where_nothing_is_new_nothing_is_linked(archive, monkeypatch):
    put(archive, 0, 1, authors=[author("a")], books=[book("x", "z")])
    refresh("sample", archive=archive)
    version = SourceState.objects.get(source="sample").data_version

    def refuse(*_, **__):
        raise AssertionError("it was linked")

    with monkeypatch.context() as patched:
        patched.setattr("reshape.replay.link", refuse)
        done = refresh("sample", archive=Archive())

    assert done.derivation.is_as_loaded
    assert done.derivation.linked.row_counts["sample_author"] == 1
    assert done.derivation.linked.held_count == 1
    assert SourceState.objects.get(source="sample").data_version == version


def test_after_a_compaction_touched_keys_are_linked_as_before(archive, ways):
    for minute in range(3):
        put(archive, minute, minute, authors=[author(f"a{minute}"), author("shared", str(minute))])
        refresh("sample", archive=archive)
    archive.compact()
    refresh("sample", archive=Archive())
    put(archive, 8, 2, authors=[author("a2", "newer")])
    refresh("sample", archive=Archive())
    put(archive, 9, 9, authors=[author("b")])
    archive.compact()
    refresh("sample", archive=Archive())

    assert ways == ["touched"] * 5
    assert Author._default_manager.get(code="shared").name == "1"
    assert_as_linked_in_full(archive)


def test_where_a_segment_is_gone_with_what_it_held_everything_is_linked(archive, ways):
    for minute in range(2):
        put(archive, minute, minute, authors=[author(f"a{minute}")])
        refresh("sample", archive=archive)
    Segment.objects.filter(name=archive.segments("sample.pages")[0].name).delete()
    put(archive, 9, 9, authors=[author("b")])
    refresh("sample", archive=Archive())

    assert ways == ["touched", "all"]
    assert_as_linked_in_full(archive)


@pytest.mark.parametrize("damage", [b"", b"no database", None])
def test_a_state_that_cannot_be_used_is_made_anew(archive, ways, damage):
    put(archive, 0, 1, authors=[author("a")])
    refresh("sample", archive=archive)
    if damage is None:
        state_path("sample").unlink()
    else:
        state_path("sample").write_bytes(damage)
    for minute in (1, 2):
        put(archive, minute, 2, authors=[author("b", str(minute))])
        refresh("sample", archive=archive)

    assert ways == ["all", "touched"]
    assert_as_linked_in_full(archive)


def test_a_load_that_fails_leaves_no_state_that_is_ahead(archive, ways, monkeypatch):
    put(archive, 0, 1, authors=[author("a")])
    refresh("sample", archive=archive)
    put(archive, 1, 2, authors=[author("b")])

    def refuse(*_, **__):
        raise RuntimeError("no")

    with monkeypatch.context() as patched:
        patched.setattr("etl.walk.load", refuse)
        with pytest.raises(RuntimeError):
            refresh("sample", archive=archive)
    refresh("sample", archive=archive)

    assert ways == ["touched", "all"]
    assert set(Author.objects.values_list("code", flat=True)) == {"a", "b"}


def test_what_something_else_wrote_is_mended_in_full_alone(archive):
    put(archive, 0, 1, authors=[author("a")])
    refresh("sample", archive=archive)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sample_author SET name = 'else'")

    refresh("sample", archive=archive)
    assert Author.objects.get().name == "else"
    refresh("sample", archive=archive, trust_copies=False)
    assert Author.objects.get().name == "n"


def test_a_link_cut_short_after_a_compaction_leaves_a_state_that_another_does_not_mislead(
    archive, ways, monkeypatch
):
    for minute in range(2):
        put(archive, minute, minute, authors=[author(f"a{minute}")])
        refresh("sample", archive=archive)
    archive.compact(grace=timedelta(0))

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(link, "compare", killed)
        with pytest.raises(KeyboardInterrupt):
            refresh("sample", archive=Archive())
    compaction.replace(archive.url, archive.segments("sample.pages"))
    compaction.sweep_replaced(archive.url, timedelta(0))
    put(archive, 3, 1, authors=[author("a1", 5)])
    refresh("sample", archive=Archive())
    put(archive, 4, 4, authors=[author("a1", "other")])
    refresh("sample", archive=Archive())
    put(archive, 5, 4, status=404)
    refresh("sample", archive=Archive())

    assert ways == ["touched"] * 4
    assert set(Author.objects.values_list("code", flat=True)) == {"a0", "a1"}
    assert_as_linked_in_full(archive)


def test_a_parsed_segment_that_was_missing_counts_again_once_it_is_restored(archive, home):
    put(archive, 0, 1, authors=[author("a", "as it was")])
    refresh("sample", archive=archive)
    (first,) = archive.segments()
    put(archive, 1, 1, authors=[author("a", "as it is")])
    refresh("sample", archive=archive)
    (second,) = (each for each in archive.segments() if each.name != first.name)
    file, aside = home / "archive" / second.path, home / "aside"
    file.rename(aside)
    state_path("sample").unlink()
    put(archive, 2, 2, authors=[author("b")])
    refresh("sample", archive=archive)
    damaged = Author.objects.get(code="a").name
    aside.rename(file)

    refresh("sample", archive=archive)

    assert (damaged, Author.objects.get(code="a").name) == ("as it was", "as it is")


def test_what_a_killed_link_had_committed_is_not_laid_upon_the_state_of_a_full_one(archive, ways):
    put(archive, 0, 1, authors=[author("a")])
    refresh("sample", archive=archive)
    with duckdb.connect(str(state_path("sample"))) as state:
        state.execute("PRAGMA disable_checkpoint_on_shutdown")
        state.execute("UPDATE about SET inputs = 'of a load that never was'")
    left = list(state_path("sample").parent.glob("*.wal"))
    refresh("sample", archive=archive, trust_copies=False)
    put(archive, 1, 2, authors=[author("b")])

    refresh("sample", archive=archive)

    assert len(left) == 1
    assert ways == ["touched"]
    assert_as_linked_in_full(archive)
