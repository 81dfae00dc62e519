"""Three feeds of the library, one for each way in which versions count."""

import os

from ingest import extractor


def _address(page: str) -> str:
    return f"{os.environ.get('SAMPLE_ORIGIN', 'http://127.0.0.1:9')}/{page}"


@extractor("sample.pages")
async def extract_pages(client):
    await client.get(_address("pages"))


@extractor("sample.catalogue", current="run")
async def extract_catalogue(client):
    await client.get(_address("catalogue"))


@extractor("sample.loans", current="all")
async def extract_loans(client):
    await client.get(_address("loans"))
