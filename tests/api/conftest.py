"""Asking the API as a client does, through Django's own ASGI handling."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from tests.api.garden.models import Bed, Label, Plant, Shelf
from tests.sample.models import Author, Book, Loan

FETCH = UUID(int=7)


class Answer(dict[str, Any]):
    """The answer's data; `errors` holds the messages."""

    errors: list[str]


@pytest.fixture
def ask():
    """Ask a question and get its data; an error fails the test unless it is expected."""

    def ask(question, *, fails=False, **variables):
        response = async_to_sync(AsyncClient().post)(
            "/graphql",
            orjson.dumps({"query": question, "variables": variables}),
            content_type="application/json",
        )
        body = orjson.loads(response.content)
        answer = Answer(body.get("data") or {})
        answer.errors = [error["message"] for error in body.get("errors", [])]
        assert bool(answer.errors) == fails, answer.errors
        return answer

    return ask


@pytest.fixture
def library(db):
    """Three authors, one of them another's mentor; four books; loans of two of them."""
    ada = Author(code="ada", name="Ada", fetch_id=FETCH)
    bob = Author(code="bob", name="Bob", mentor=ada, fetch_id=FETCH)
    cleo = Author(code="cleo", name="Cleo", mentor=ada, fetch_id=FETCH)
    Author.objects.bulk_create([ada, bob, cleo])
    Book.objects.bulk_create(
        [
            Book(code="b1", title="Ants", author=ada, price="12.50", tags=["x"], fetch_id=FETCH),
            Book(code="b2", title="Bees", author=ada, price=None, fetch_id=FETCH),
            Book(code="b3", title="Cats", author=bob, price="7.00", fetch_id=FETCH),
            Book(code="b4", title="ants again", author=bob, price="7.00", fetch_id=FETCH),
        ]
    )
    Loan.objects.bulk_create(
        Loan(book_id=book, day=date(2026, 1, day), loan_count=day * 10, fetch_id=FETCH)
        for book in ("b1", "b3")
        for day in (1, 2, 3)
    )


@pytest.fixture
def garden(db):
    """One bed with two plants, and a plant in a pot."""
    Bed.objects.create(code="n", name="North", area_m2="10.5000", fetch_id=FETCH)
    Plant.objects.bulk_create(
        [
            Plant(
                number=2**53 + 1,
                bed_id="n",
                name="Kale",
                planted_on=date(2026, 3, 1),
                watered_at=datetime(2026, 3, 2, 6, 30, tzinfo=UTC),
                is_edible=True,
                height_m=0.4,
                seed_count=2**40,
                serial=UUID(int=1),
                notes={"big": 2**70},
                leaf_scan=b"\x00\xff",
                fetch_id=FETCH,
            ),
            Plant(number=2, bed_id="n", name="Oak", height_m=30.0, fetch_id=FETCH),
            Plant(number=3, bed_id=None, name="Aloe", is_edible=False, fetch_id=FETCH),
        ]
    )
    Shelf.objects.create(plant_id=3, level=1, fetch_id=FETCH)
    Label.objects.bulk_create(
        [
            Label(plant_id=2, language="de", text="Eiche", fetch_id=FETCH),
            Label(plant_id=2, language="en", text="Oak", fetch_id=FETCH),
            Label(plant_id=3, language="en", text="Aloe", fetch_id=FETCH),
        ]
    )
