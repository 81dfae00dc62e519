"""The payload of a row, and its body."""

import uuid

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from etl.walk import refresh
from raw_store.archive import Archive
from reshape import transform
from reshape.models import SourceState
from reshape.registry import forget
from tests.making import make_payload
from tests.sample.models import Author, Book


@pytest.fixture
def archived(home, db):
    """A page, the same page again, a missing page; one author of each, and one from nowhere."""
    page = make_payload(
        "sample.pages",
        b"<script>alert(1)</script>",
        content_type="text/html; charset=utf-8",
        reason="OK",
        headers=(("Content-Type", "text/html; charset=utf-8"), ("X-Twice", "1"), ("x-twice", "2")),
    )
    again = make_payload("sample.pages", b"<script>alert(1)</script>", minute=5, run=1)
    gone = make_payload("sample.pages", None, minute=9, status=404, url="http://library.example/x")
    Archive().append_all("sample.pages", [page, again, gone])
    for number, fetch_id in enumerate(
        [page.fetch_id, again.fetch_id, gone.fetch_id, uuid.UUID(int=5)]
    ):
        Author.objects.create(code=str(number), name="Ann", fetch_id=fetch_id)
    return page, again, gone


def get(address, **headers):
    return async_to_sync(AsyncClient().get)(address, headers=headers)


def test_a_row_tells_the_response_it_comes_from(ask, archived):
    page = archived[0]

    answer = ask(
        """{ author(code: "0") { payload {
            fetchId url method fetchedAt status reason headers { name value } digest bodySize
            contentType bodyUrl source feed runId
        } } }"""
    )

    assert answer["author"]["payload"] == {
        "fetchId": str(page.fetch_id),
        "url": "http://library.example/",
        "method": "GET",
        "fetchedAt": "2026-01-01T00:00:00+00:00",
        "status": 200,
        "reason": "OK",
        "headers": [
            {"name": "Content-Type", "value": "text/html; charset=utf-8"},
            {"name": "X-Twice", "value": "1"},
            {"name": "x-twice", "value": "2"},
        ],
        "digest": page.body_digest,
        "bodySize": 25,
        "contentType": "text/html; charset=utf-8",
        "bodyUrl": f"/payload/{page.fetch_id}/body",
        "source": "sample",
        "feed": "sample.pages",
        "runId": str(page.run_id),
    }


def test_a_row_whose_payload_is_not_archived_says_so_with_null(ask, archived):
    answer = ask("{ authors { code payload { status bodyUrl } } }")

    shown = {author["code"]: author["payload"] for author in answer["authors"]}
    assert shown["2"] == {"status": 404, "bodyUrl": None}
    assert shown["3"] is None


def test_the_payloads_of_a_level_are_read_together(ask, archived, django_assert_num_queries):
    Book.objects.bulk_create(
        Book(code=str(n), title="x", author_id="0", fetch_id=archived[0].fetch_id) for n in range(9)
    )

    # The rows, the index of the archive, and the code that the rows were loaded with.
    with django_assert_num_queries(3):
        answer = ask("{ books { payload { url digest } } }")

    assert len({str(book["payload"]) for book in answer["books"]}) == 1


def test_a_body_is_downloaded_and_never_shown(archived):
    page = archived[0]

    response = get(f"/payload/{page.fetch_id}/body")

    assert response.status_code == 200
    assert response.content == page.body
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert response["Content-Disposition"] == f'attachment; filename="{page.fetch_id}.html"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"].startswith("sandbox")
    assert response["ETag"] == f'"{page.body_digest}"'


def test_a_body_that_the_reader_has_is_not_sent_again(archived):
    page = archived[0]

    response = get(f"/payload/{page.fetch_id}/body", **{"If-None-Match": f'"{page.body_digest}"'})

    assert (response.status_code, response.content) == (304, b"")


def test_a_revisit_gives_the_body_that_it_confirmed(archived):
    page, again, _ = archived

    assert get(f"/payload/{again.fetch_id}/body").content == page.body


def test_a_body_that_is_not_there_is_answered_with_the_reason(archived):
    gone = archived[2]

    unknown = get(f"/payload/{uuid.UUID(int=5)}/body")
    empty = get(f"/payload/{gone.fetch_id}/body")

    assert (unknown.status_code, empty.status_code) == (404, 404)
    assert "No archived payload has the fetch id" in unknown.json()["error"]
    assert "received no body: status 404" in empty.json()["error"]


def test_a_content_type_that_is_none_is_not_repeated(home, db):
    odd = make_payload("sample.pages", b"x", content_type='text/html\x01; x="<script>"')
    Archive().append_all("sample.pages", [odd])

    response = get(f"/payload/{odd.fetch_id}/body")

    assert response["Content-Type"] == "application/octet-stream"


LIBRARY = {
    "authors": [{"code": "ann", "name": "Ann"}],
    "books": [{"code": "x", "title": "Xylem", "author_id": "ann"}],
}


@pytest.fixture
def second_reader():
    """Another transform of the same feed, which reads what the first one leaves."""

    def transform_more(payload):
        for code in payload.json().get("more", []):
            yield Author.row(code=code, name="Second")

    transform("sample.pages")(transform_more)
    yield
    forget("sample.transform_more")


@pytest.mark.django_db(transaction=True)
def test_a_row_names_the_transform_that_made_it(home, ask, second_reader):
    archive = Archive()
    more = make_payload("sample.pages", {"more": ["bea"]}, url="http://library.example/more")
    archive.append_all("sample.pages", [make_payload("sample.pages", LIBRARY), more])
    refresh("sample", archive=archive)

    answer = ask(
        """{ authors(order: {code: ASC}) { code payload { transform } }
             books { payload { transform } } }"""
    )

    made = {row["code"]: row["payload"]["transform"] for row in answer["authors"]}
    loaded = SourceState.objects.get(source="sample").fingerprints
    assert made == {
        "ann": f"sample.transform_pages@{loaded['sample.transform_pages']}",
        "bea": f"sample.transform_more@{loaded['sample.transform_more']}",
    }
    assert answer["books"] == [{"payload": {"transform": made["ann"]}}]


def test_a_row_that_was_never_loaded_names_no_transform(ask, archived):
    answer = ask('{ author(code: "0") { payload { transform } } }')

    assert answer["author"]["payload"] == {"transform": None}
