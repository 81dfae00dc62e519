"""`@asOf`: models, links and rollups as the archive stood then; what is refused; what is kept."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from asgiref.sync import async_to_sync
from django.db import close_old_connections, connections
from django.test import AsyncClient

from api.compiled.answers import Compiler
from api.compiled.documents import Known
from api.schema import get_api
from etl.vintages import clear_vintages, find_vintage, making, store
from etl.walk import refresh
from raw_store.archive import Archive
from tests.making import START, at, make_payload
from tests.sample.models import Author

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = """
query Q($at: DateTime!) @asOf(at: $at) {
  authors(order: {code: ASC}) { code name booksCount sampleAuthorTotals { bookCount priceSum } }
  sampleAuthorTotals { author { name } build { inputs } }
  books { title payload { fetchId } }
}
"""


def library(*titles, name="Ann"):
    books = [
        {"code": title[0], "title": title, "author_id": "a", "price": "1.50"} for title in titles
    ]
    return {"authors": [{"code": "a", "name": name}], "books": books}


@pytest.fixture
def archive(home):
    """A library that has one book at minute 0, two at 10, and another name and one at 20."""
    archive = Archive()
    for minute, body in [
        (0, library("Xylem")),
        (10, library("Xylem", "Yarrow")),
        (20, library("Zinnia", name="Anna")),
    ]:
        archive.append_all("sample.pages", [make_payload("sample.pages", body, minute=minute)])
    refresh("sample", archive=archive)
    return archive


@pytest.fixture
def ask():
    def ask(question=QUESTION, **variables):
        response = async_to_sync(AsyncClient().post)(
            "/graphql",
            orjson.dumps({"query": question, "variables": variables}),
            content_type="application/json",
        )
        return orjson.loads(response.content)

    return ask


def told(answer):
    """Who wrote what, by the models and by the rollup; fails where the two differ."""
    (author,) = answer["data"]["authors"]
    (total,) = author["sampleAuthorTotals"]
    titles = sorted(book["title"] for book in answer["data"]["books"])
    assert author["booksCount"] == total["bookCount"] == len(titles)
    (row,) = answer["data"]["sampleAuthorTotals"]
    assert row == {"author": {"name": author["name"]}, "build": {"inputs": ["sample_book"]}}
    return author["name"], titles


def test_models_links_and_rollups_are_those_of_the_moment(archive, ask):
    answers = [told(ask(at=at(minute).isoformat())) for minute in (0, 10.5, 25)]

    assert answers == [("Ann", ["Xylem"]), ("Ann", ["Xylem", "Yarrow"]), ("Anna", ["Zinnia"])]
    assert told(ask(QUESTION.replace("Q($at: DateTime!) @asOf(at: $at)", ""))) == answers[2]
    assert Author.objects.get().name == "Anna"


def test_a_past_answer_names_the_payload_of_then(archive, ask):
    (book,) = ask(at=at(5).isoformat())["data"]["books"]

    assert book["payload"]["fetchId"] == str(
        make_payload("sample.pages", library("Xylem"), minute=0).fetch_id
    )


def test_pages_by_cursor_are_of_the_moment_too(archive, ask):
    answer = ask(
        f"""query @asOf(at: "{at(12).isoformat()}") {{
          booksConnection(first: 1) {{
            totalCount count(mode: ESTIMATE) {{ value }} edges {{ node {{ title }} }} }}
        }}"""
    )

    assert answer["data"]["booksConnection"] == {
        "totalCount": 2,
        "count": {"value": 2},
        "edges": [{"node": {"title": "Xylem"}}],
    }


def test_moments_between_two_fetches_share_a_vintage(archive):
    found = {find_vintage(at(minute)) for minute in (10, 11, 19.9)}

    assert len(found) == 1


def test_a_moment_within_a_segment_is_told_apart(home, ask):
    archive = Archive()
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", library("Xylem"), minute=0),
            make_payload("sample.pages", library("Xylem", "Yarrow"), minute=10),
        ],
    )

    assert told(ask(at=at(5).isoformat())) == ("Ann", ["Xylem"])
    assert told(ask(at=at(15).isoformat())) == ("Ann", ["Xylem", "Yarrow"])


@pytest.mark.parametrize(
    ("moment", "why"),
    [
        (datetime.now(UTC).replace(year=2999), "has not come yet"),
        (START - timedelta(days=1), "the first fetch was at 2026-01-01T00:00:00+00:00"),
    ],
    ids=["future", "before"],
)
def test_a_moment_without_rows_is_refused_by_name(archive, ask, moment, why):
    answer = ask(at=moment.isoformat())

    assert answer["data"] is None
    assert why in answer["errors"][0]["message"]


def test_it_can_be_switched_off(archive, ask, settings):
    settings.AS_OF_VINTAGES = 0

    answer = ask(at=at(5).isoformat())

    assert "switched off here (AS_OF_VINTAGES=0)" in answer["errors"][0]["message"]


@pytest.mark.parametrize(
    "field", ["feeds { name }", "runsCount", "... { sourceStates { source } }"]
)
def test_what_tells_of_the_program_has_no_past(archive, ask, field):
    answer = ask(f'query @asOf(at: "{at(5).isoformat()}") {{ authorsCount {field} }}')

    assert answer["data"] is None
    assert "has no past" in answer["errors"][0]["message"]


def test_a_known_document_never_goes_the_direct_way(archive, ask):
    api = get_api()
    answers = [told(ask(at=at(minute).isoformat())) for minute in (0, 10, 0)]

    known = api.documents.find(QUESTION)
    assert isinstance(known, Known)
    direct = api.compiler.answer(known, "Q", {"at": at(0).isoformat()})

    assert answers == [("Ann", ["Xylem"]), ("Ann", ["Xylem", "Yarrow"]), ("Ann", ["Xylem"])]
    assert isinstance(api.compiler, Compiler)
    assert direct.data is None
    assert direct.reason == "Not compiled: an operation of another time."
    assert known.plans == {}


def test_a_vintage_is_made_once_however_many_ask(archive, monkeypatch):
    made = []

    def make(moment, path):
        made.append(path)
        making.make_vintage(moment, path)

    monkeypatch.setattr(store, "make_vintage", make)

    def find(_):
        try:
            return find_vintage(at(15))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(find, range(8)))

    assert len(found) == len(made) == 1
    close_old_connections()


def test_the_least_used_go_first(archive, settings):
    settings.AS_OF_VINTAGES = 2
    first, second = find_vintage(at(0)), find_vintage(at(10))
    find_vintage(at(0))

    third = find_vintage(at(20))

    assert first.exists()
    assert third.exists()
    assert not second.exists()


def test_beyond_the_size_only_the_one_asked_for_stays(archive, settings):
    settings.AS_OF_MAX_BYTES = 1
    first = find_vintage(at(0))

    second = find_vintage(at(10))

    assert second.exists()
    assert not first.exists()


def test_nothing_live_changes_and_nothing_is_left(archive, home):
    before = {path for path in home.rglob("*") if "vintages" not in path.parts}

    path = find_vintage(at(10))

    after = {path for path in home.rglob("*") if "vintages" not in path.parts}
    assert {path for path in after - before if path.suffix != ".lock"} == {home / "locks"} - before
    assert list((home / "vintages").iterdir()) == [path]


def test_what_is_archived_later_for_then_counts(archive, ask):
    told(ask(at=at(5).isoformat()))
    late = make_payload("sample.pages", library("Xylem", "Willow"), minute=3)
    archive.append_all("sample.pages", [late])

    assert told(ask(at=at(5).isoformat())) == ("Ann", ["Willow", "Xylem"])


def test_all_go_when_something_is_erased(archive):
    path = find_vintage(at(10))

    clear_vintages()

    assert not path.exists()
