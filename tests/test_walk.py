"""The whole walk in one test: from an HTTP response to a GraphQL answer."""

import httpx
import pytest
from asgiref.sync import sync_to_async

from api.schema import get_api
from etl.walk import refresh
from ingest.runs import run_feed
from raw_store.archive import Archive
from reshape.models import QuarantineEntry

LIBRARY = {
    "authors": [{"code": "ann", "name": "Ann"}],
    "books": [
        {"code": "x", "title": "Xylem", "author_id": "ann", "price": "12.50"},
        {"code": "y", "title": "Yarrow", "author_id": "ann", "price": "7.25"},
    ],
}
QUESTION = """
{
  authors { name books(order: {code: ASC}) { title price payload { url status } } }
  sampleAuthorTotals { authorId bookCount priceSum }
}
"""


@pytest.mark.django_db(transaction=True)
async def test_response_becomes_an_answer(home):
    origin = httpx.MockTransport(lambda request: httpx.Response(200, json=LIBRARY))
    archive = Archive()

    run = await run_feed("sample.pages", archive, inner=origin)
    (payload,) = await sync_to_async(lambda: list(archive.scan("sample.pages")))()
    replayed = await sync_to_async(refresh)("sample", archive=archive)
    answer = await get_api().schema.execute(QUESTION)

    assert (run.outcome, run.payload_count) == ("complete", 1)
    assert payload.json() == LIBRARY
    assert replayed.loaded.differences["sample_book"].added == 2
    assert await QuarantineEntry.objects.acount() == 0
    assert answer.errors is None
    source = {"url": payload.url, "status": 200}
    assert answer.data == {
        "authors": [
            {
                "name": "Ann",
                "books": [
                    {"title": "Xylem", "price": "12.50", "payload": source},
                    {"title": "Yarrow", "price": "7.25", "payload": source},
                ],
            }
        ],
        "sampleAuthorTotals": [{"authorId": "ann", "bookCount": 2, "priceSum": "19.75"}],
    }
