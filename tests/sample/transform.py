"""One body of the library: `{"authors": [...], "books": [...], "loans": [...]}`."""

from reshape import transform

from .models import Author, Book, Loan


@transform("sample.pages")
def transform_pages(payload):
    yield from _rows(payload)


@transform("sample.catalogue")
def transform_catalogue(payload):
    yield from _rows(payload)


@transform("sample.loans")
def transform_loans(payload):
    yield from _rows(payload)


def _rows(payload):
    body = payload.json()
    for author in body.get("authors", []):
        yield Author.row(**author)
    for book in body.get("books", []):
        yield Book.row(**book)
    for loan in body.get("loans", []):
        yield Loan.row(**loan)
