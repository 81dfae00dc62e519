"""A door with the workers of a server, and an author to ask for."""

import pytest

from api.compiled.workers import close_workers, open_workers
from api.serving import persisted
from tests.sample.models import Author

from .exchange import Watched


@pytest.fixture
def author(transactional_db):
    return Author.objects.create(code="a", name="Ada", fetch_id="0" * 32)


@pytest.fixture
def door(author):
    open_workers()
    found = Watched()
    yield found
    found.door.close()
    close_workers()
    persisted.forget()
