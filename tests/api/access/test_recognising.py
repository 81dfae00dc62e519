"""Whom the program answers without a token: nobody, everyone, or this machine alone."""

import pytest
from django.core import checks

from api.access import caller_of
from api.apps import check_settings

HOST = (b"host", b"localhost:8000")


async def scopes_of(*headers, client=("127.0.0.1", 50_000)):
    scope = {"type": "http", "method": "POST", "headers": [HOST, *headers], "client": client}
    return set((await caller_of(scope)).scopes)


@pytest.fixture
def loopback(settings):
    settings.ANONYMOUS_READ = "loopback"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_this_machine_reads(loopback, address):
    assert await scopes_of(client=(address, 1)) == {"read", "sql"}


@pytest.mark.parametrize(
    "client", [("10.0.0.1", 1), ("::ffff:10.0.0.1", 1), ("testclient", 1), ("", 1), None]
)
async def test_others_do_not(loopback, client):
    assert await scopes_of(client=client) == set()


@pytest.mark.parametrize(
    "name",
    [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-anything",
        "forwarded",
        "via",
        "x-real-ip",
        "cf-connecting-ip",
        "true-client-ip",
    ],
)
async def test_what_was_passed_on_comes_from_somewhere_else(loopback, name):
    assert await scopes_of((name.encode(), b"127.0.0.1")) == set()


@pytest.mark.parametrize(
    "host", [b"rootcellar.example", b"localhost.example", b"10.0.0.1", b"", b"127.0.0.1.example"]
)
async def test_a_name_of_another_than_the_loopback_was_passed_on(loopback, host):
    scope = {"type": "http", "method": "GET", "headers": [(b"host", host)]}

    found = await caller_of(scope | {"client": ("127.0.0.1", 1)})

    assert not found.scopes


async def test_everyone_reads_where_that_is_allowed(settings):
    settings.ANONYMOUS_READ = "everyone"

    assert await scopes_of(client=("10.0.0.1", 1)) == {"read"}


async def test_nobody_reads_where_that_is_said(settings):
    settings.ANONYMOUS_READ = "nobody"

    assert await scopes_of() == set()


def test_what_is_none_of_these_is_an_error(settings):
    settings.ANONYMOUS_READ = "yes"

    (error,) = check_settings()

    assert isinstance(error, checks.Error)
    assert "loopback, everyone, nobody" in error.msg
