"""Derived files that are damaged, as a power cut or a failing disk leaves them, are made anew."""

import pytest

from etl.reconciling import reconcile
from etl.walk import refresh
from raw_store.archive import Archive
from raw_store.erasing import erase
from raw_store.payload import request_key
from raw_store.selection import Asked
from reshape import link_state, replay
from reshape.copies import present_copy
from reshape.parse import label_of
from reshape.records import OUTCOMES, record_files
from reshape.registry import transforms_of
from tests.making import make_payload
from tests.sample.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True)

URL = "http://library.example/{}"


def put(archive, minute, page, **names):
    authors = [{"code": code, "name": name} for code, name in names.items()]
    payload = make_payload(
        "sample.pages", {"authors": authors}, minute=minute, url=URL.format(page)
    )
    archive.append_all("sample.pages", [payload])


@pytest.fixture
def archive(home):
    """Two segments, replayed, and a third that is not."""
    archive = Archive()
    put(archive, 0, 1, a="Ann")
    put(archive, 1, 2, b="Bo")
    refresh("sample", archive=archive)
    put(archive, 2, 3, c="Cy")
    return archive


def authors():
    return sorted(Author.objects.values_list("code", "name"))


EVERY = [("a", "Ann"), ("b", "Bo"), ("c", "Cy")]


def record_file(archive, folder):
    (label,) = (label_of(t) for t in transforms_of("sample") if t.feed == "sample.pages")
    names = [segment.name for segment in archive.segments("sample.pages")]
    return record_files(folder, label, names)[0]


def halve(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


DAMAGE = {
    "cut short": halve,
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("folder", [Author._meta.db_table, OUTCOMES])
def test_record_files_are_parsed_again(archive, folder, damage):
    damage(record_file(archive, folder))

    refresh("sample", archive=archive, trust_copies=False)

    assert authors() == EVERY
    assert reconcile("sample").problem_count == 0


def test_what_is_not_damaged_is_not_parsed_again(archive):
    halve(record_file(archive, Author._meta.db_table))

    done = refresh("sample", archive=archive, trust_copies=False)

    assert done.derivation.parsed.payload_count == 1


def test_an_error_of_another_cause_removes_nothing(archive, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no file is to blame")

    monkeypatch.setattr(replay, "link", refuse)
    before = record_file(archive, OUTCOMES).stat()

    with pytest.raises(OSError, match="no file is to blame"):
        refresh("sample", archive=archive)

    assert record_file(archive, OUTCOMES).stat() == before


def test_a_links_state_is_learned_again(archive):
    halve(link_state.state_path("sample"))

    refresh("sample", archive=archive)

    assert authors() == EVERY


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("model", [Author, Book])
def test_copies_are_written_again(archive, model, damage):
    damage(present_copy(model))

    refresh("sample", archive=archive)

    assert authors() == EVERY
    assert reconcile("sample").problem_count == 0


def test_an_erasure_removes_what_it_cannot_read(archive):
    halve(record_file(archive, Author._meta.db_table))

    erase(archive.url, Asked(by="key", text=request_key("GET", URL.format(2))))

    assert authors() == [("a", "Ann"), ("c", "Cy")]


def test_a_compaction_leaves_what_it_cannot_read_to_the_parse(archive):
    refresh("sample", archive=archive)
    halve(record_file(archive, Author._meta.db_table))

    archive.compact()
    done = refresh("sample", archive=Archive())

    assert done.derivation.parsed.payload_count == 3
    assert authors() == EVERY
