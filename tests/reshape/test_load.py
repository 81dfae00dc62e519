"""Load: the tables equal what is linked, and only the difference moves."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from etl.walk import refresh
from raw_store.archive import Archive
from reshape.errors import LoadFailed
from reshape.models import HeldRow, ModelState, QuarantineEntry, SourceState
from tests.making import at, make_payload
from tests.sample.models import Author, Book, Loan
from warehouse.publish import current_build

pytestmark = pytest.mark.django_db(transaction=True)

LIBRARY: dict[str, Any] = {
    "authors": [{"code": "a", "name": "Ann"}, {"code": "b", "name": "Bé"}],
    "books": [
        {
            "code": "x",
            "title": "X",
            "author_id": "a",
            "price": "12.50",
            "added_at": "2026-01-01T10:00:00.5+02:00",
            "tags": {"z": 1, "a": [None, "é"]},
        },
        {"code": "y", "title": "Y", "author_id": "b"},
    ],
    "loans": [{"book_id": "x", "day": "2026-01-01", "loan_count": 3}],
}


@pytest.fixture
def archive(home):
    return Archive()


def snapshot(model):
    return sorted(model.objects.values_list(), key=str)


def put(archive, body, minute=0, **more):
    archive.append_all("sample.pages", [make_payload("sample.pages", body, minute=minute, **more)])


def test_json_that_a_database_refuses_goes_to_quarantine_and_other_payloads_load(archive):
    put(archive, {"authors": LIBRARY["authors"]})
    tagged = {"code": "x", "title": "X", "author_id": "a", "tags": ["\x00"]}
    put(archive, {"books": [tagged]}, url="http://library.example/2")

    refresh("sample", archive=archive)

    assert (Author.objects.count(), Book.objects.count()) == (2, 0)
    assert "NUL" in QuarantineEntry.objects.get().message


def test_numbers_in_json_are_compared_as_the_database_gives_them_back(archive):
    tags = [1e15, 1e16, -1e18, 1e20, 1e300, 5e-324, -0.0, 0.1, 2**63, -(2**63), "1e16"]
    put(archive, {**LIBRARY, "books": [{**LIBRARY["books"][0], "tags": tags}]})
    refresh("sample", archive=archive)

    again = refresh("sample", archive=archive, trust_copies=False)

    assert again.loaded.changed_count == 0


def test_rows_arrive_as_django_reads_them(archive):
    put(archive, LIBRARY)

    refresh("sample", archive=archive)

    book = Book.objects.get(code="x")
    assert str(book.price) == "12.50"
    assert book.added_at is not None
    assert book.added_at.isoformat() == "2026-01-01T08:00:00.500000+00:00"
    assert book.tags == {"z": 1, "a": [None, "é"]}
    assert book.author.name == "Ann"
    assert book.fetch_id == make_payload("sample.pages", LIBRARY).fetch_id
    assert Loan.objects.get(pk=("x", "2026-01-01")).loan_count == 3
    assert Book.objects.filter(added_at=book.added_at).exists()


@pytest.mark.parametrize("trust_copies", [True, False])
def test_replaying_twice_writes_nothing(archive, trust_copies):
    put(archive, LIBRARY)
    refresh("sample", archive=archive)
    version = SourceState.objects.get(source="sample").data_version

    again = refresh("sample", archive=archive, trust_copies=trust_copies)

    assert again.loaded.changed_count == 0
    assert SourceState.objects.get(source="sample").data_version == version


def test_only_the_difference_is_written(archive):
    put(archive, LIBRARY)
    refresh("sample", archive=archive)
    changed = LIBRARY | {"authors": [{"code": "a", "name": "Anna"}, {"code": "b", "name": "Bé"}]}
    put(archive, changed | {"books": LIBRARY["books"][:1]}, minute=1)

    loaded = refresh("sample", archive=archive).loaded.differences

    assert (loaded["sample_author"].changed, loaded["sample_author"].added) == (1, 0)
    assert (loaded["sample_book"].changed, loaded["sample_book"].added) == (0, 0)
    assert loaded["sample_book"].removed == 1
    assert Author.objects.get(code="a").name == "Anna"


def test_row_edited_by_hand_is_mended_by_an_explicit_replay(archive):
    put(archive, LIBRARY)
    refresh("sample", archive=archive)
    Author.objects.filter(code="a").update(name="Nobody")
    Loan.objects.all().delete()

    refresh("sample", archive=archive, trust_copies=False)

    assert Author.objects.get(code="a").name == "Ann"
    assert Loan.objects.count() == 1


def test_load_says_how_far_it_is(archive, monkeypatch, capsys):
    monkeypatch.setattr("reshape.load.ROWS_PER_BATCH", 0)
    monkeypatch.setattr("reshape.difference.ROWS_PER_BATCH", 1)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    put(archive, LIBRARY)

    refresh("sample", archive=archive, progress=True)

    assert "load sample_author: 2 of 2 rows (100%)" in capsys.readouterr().err


def test_held_row_loads_when_its_target_appears(archive):
    put(archive, {"books": LIBRARY["books"]}, url="http://library.example/books")
    refresh("sample", archive=archive)
    assert (Book.objects.count(), HeldRow.objects.count()) == (0, 2)

    put(archive, {"authors": LIBRARY["authors"]}, url="http://library.example/authors")
    refresh("sample", archive=archive)

    assert (Book.objects.count(), HeldRow.objects.count()) == (2, 0)


def test_quarantine_clears_itself_when_the_code_can_read_the_payload(archive, monkeypatch):
    from dataclasses import replace

    from reshape import registry

    put(archive, {"authors": [{"code": "a", "name": 5}]})
    refresh("sample", archive=archive)
    assert QuarantineEntry.objects.get().feed == "sample.pages"

    def forgiving(payload):
        for author in payload.json()["authors"]:
            yield Author.row(code=author["code"], name=str(author["name"]))

    known = registry._transforms["sample.transform_pages"]
    monkeypatch.setitem(
        registry._transforms,
        known.name,
        replace(known, function=forgiving, code_digest="another"),
    )
    refresh("sample", archive=archive)

    assert QuarantineEntry.objects.count() == 0
    assert Author.objects.get().name == "5"


def test_rows_as_of_a_moment(archive):
    put(archive, {"authors": [{"code": "a", "name": "old"}]}, minute=0)
    put(archive, {"authors": [{"code": "a", "name": "new"}]}, minute=10)
    refresh("sample", archive=archive)

    refresh("sample", archive=archive, as_of=at(5))

    assert Author.objects.get().name == "old"


def test_rollups_follow_the_rows_in_the_same_load(archive):
    put(archive, LIBRARY)

    refresh("sample", archive=archive)

    with connection.cursor() as cursor:
        cursor.execute("SELECT author_id, book_count FROM sample_author_totals ORDER BY 1")
        assert cursor.fetchall() == [("a", 1), ("b", 1)]


def test_nothing_new_makes_no_new_build(archive):
    put(archive, LIBRARY)
    first = refresh("sample", archive=archive).build
    assert first is not None

    again = refresh("sample", archive=archive)

    assert again.build is None
    assert current_build() == first.path


def test_build_that_was_loaded_but_not_published_is_made_up_for(archive, home):
    put(archive, LIBRARY)
    refresh("sample", archive=archive)
    before = (home / "warehouse" / "CURRENT").read_text()
    put(archive, LIBRARY | {"loans": []}, minute=1)
    refresh("sample", archive=archive)
    # As after a kill between the load's commit and the rename of the pointer.
    (home / "warehouse" / "CURRENT").write_text(before)

    refresh("sample", archive=archive)

    assert (home / "warehouse" / "CURRENT").read_text() != before


def test_damaged_segment_withholds_deletions_and_is_named(archive, home):
    put(archive, {"authors": [{"code": "a", "name": "A"}]}, url="http://library.example/1")
    put(archive, {"authors": [{"code": "b", "name": "B"}]}, url="http://library.example/2")
    refresh("sample", archive=archive)
    first, _ = archive.segments("sample.pages")
    (home / "archive" / first.path).write_bytes(b"PAR1 nonsense")

    result = refresh("sample", archive=Archive(), trust_copies=False)

    assert set(Author.objects.values_list("code", flat=True)) == {"a", "b"}
    assert result.loaded.withheld_count == 1
    assert first.name in " ".join(result.derivation.damaged)
    assert not ModelState.objects.filter(table="sample_author").exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite waits for as long by itself")
def test_a_load_does_not_wait_for_ever_for_who_holds_its_rows(archive, monkeypatch):
    put(archive, LIBRARY)
    refresh("sample", archive=archive)
    put(archive, {"authors": [{"code": "a", "name": "Anne"}]}, minute=1)
    monkeypatch.setattr("reshape.load.LOCK_TIMEOUT_S", 0.1)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN; UPDATE sample_author SET name = name")

        with pytest.raises(LoadFailed, match="lock timeout"):
            refresh("sample", archive=archive)
    finally:
        other.close()
    refresh("sample", archive=archive)

    assert Author.objects.get(code="a").name == "Anne"


def test_tables_that_a_migration_made_anew_are_filled_again(archive):
    put(archive, LIBRARY)
    refresh("sample", archive=archive)
    before = snapshot(Author)
    call_command("migrate", "sample", "zero", verbosity=0)
    call_command("migrate", verbosity=0)
    emptied = snapshot(Author)

    refresh("sample", archive=archive)

    assert (emptied, snapshot(Author)) == ([], before)
    assert Loan.objects.count() == 1
