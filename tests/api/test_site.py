"""The front page, and the health of the program."""

from datetime import UTC, datetime

from asgiref.sync import async_to_sync
from django.test import AsyncClient

from raw_store.archive import Archive
from raw_store.models import Segment
from reshape.models import ModelState
from tests.making import make_payload


def get(address):
    return async_to_sync(AsyncClient().get)(address)


def test_the_front_page_names_what_there_is(db):
    ModelState.objects.create(
        table="sample_book",
        source="sample",
        copy_path="x",
        row_count=12345,
        changed_at=datetime(2026, 1, 1, tzinfo=UTC),
    )

    page = get("/").content.decode()

    for words in ("/graphql", "/healthz", "sample", "Book", "12345", "not loaded yet"):
        assert words in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_program_with_nothing_archived_is_well(home, db):
    response = get("/healthz")

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "segment_count": 0}


def test_a_program_with_its_archive_is_well(home, db):
    Archive().append_all("sample.pages", [make_payload("sample.pages", {})])

    assert get("/healthz").json() == {"status": "ok", "segment_count": 1}


def test_an_archive_that_went_away_is_reported(home, db, settings):
    Archive().append_all("sample.pages", [make_payload("sample.pages", {})])
    settings.ARCHIVE_URL = str(home / "elsewhere")

    response = get("/healthz")

    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    assert "1 segments are expected" in response.json()["reason"]


def test_a_database_that_does_not_answer_is_reported(home, db, monkeypatch):
    monkeypatch.setattr(Segment._meta, "db_table", "nowhere")

    response = get("/healthz")

    assert response.status_code == 503
    assert "nowhere" in response.json()["reason"]
