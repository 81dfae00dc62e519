"""The page that lists held rows."""

from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from api.access import Caller
from api.views import held
from reshape.models import HeldRow

FETCH = UUID("018f0000-0000-7000-8000-000000000001")


@pytest.fixture
def two_held(db):
    for key in ("x", "<y>"):
        HeldRow.objects.create(
            model="sample.Book", key=f'["{key}"]', field="author", target="nobody",
            source="sample", fetch_id=FETCH,
        )  # fmt: skip


def page(query=""):
    return async_to_sync(AsyncClient().get)(f"/held{query}").content.decode()


def test_it_says_what_rows_wait_for_and_which_they_are(two_held):
    found = page()

    assert "2 rows of sample.Book wait for sample.Author &#x27;nobody&#x27; (author)" in found
    assert "sample.Book [&quot;&lt;y&gt;&quot;] waits" in found
    assert f"/payload/{FETCH}/body" in found


def test_it_says_that_no_row_is_held(db):
    assert "No row is held." in page()


def test_it_shows_one_source_alone(two_held):
    assert "No row is held." in page("?source=port")
    assert "2 rows of sample.Book" in page("?source=sample")


def test_a_caller_sees_the_rows_of_their_sources_alone(two_held):
    caller = Caller(name="one", scopes=frozenset({"read"}), sources=frozenset({"port"}))

    assert held._found(caller, "")["row_count"] == 0
