"""The fast lane: the same answers as Django's, without its request handling."""

import json

import pytest

from api.compiled.workers import close_workers

from .exchange import HEADERS, QUESTION, Exchange, asked, by_django, scope_of

# What the door adds, and what Django's says of its own body.
_OF_THE_DOOR = {b"etag", b"cache-control", b"vary", b"content-length"}


def of_django(headers):
    return {name: value for name, value in headers.items() if name not in _OF_THE_DOOR}


async def test_a_question_is_answered_as_django_does(door):
    expected = await by_django(asked())

    found = await door.ask(asked())

    assert door.django_asked == 0
    assert found.json == {"data": {"author": {"name": "Ada", "mentor": None}}}
    assert (found.status, of_django(found.headers), found.body) == (
        expected.status, of_django(expected.headers), expected.body,
    )  # fmt: skip


async def test_a_body_comes_in_parts(door):
    found = await door.ask(asked(), size=10)

    assert (door.django_asked, found.json["data"]["author"]["name"]) == (0, "Ada")


@pytest.mark.parametrize(
    "header",
    [(b"x-plan", b"1"), (b"accept", b"application/graphql-response+json")],
)
async def test_a_header_that_means_more_is_left_to_django(door, header):
    found = await door.ask(asked(), header)

    assert door.django_asked == 1
    assert found.json["data"] == {"author": {"name": "Ada", "mentor": None}}


@pytest.mark.parametrize(
    ("more", "body"),
    [
        ({"path": "/graphql/"}, asked()),
        ({"headers": [(b"host", b"elsewhere.example"), HEADERS[1]]}, asked()),
        ({"headers": [HEADERS[1]]}, asked()),
        ({"headers": [HEADERS[0], (b"content-type", b"text/plain")]}, asked()),
        ({"headers": [*HEADERS, (b"origin", b"http://elsewhere.example")]}, asked()),
        ({"headers": [*HEADERS, (b"sec-fetch-site", b"cross-site")]}, asked()),
        ({"headers": [*HEADERS, (b"content-encoding", b"gzip")]}, asked()),
        ({"headers": [*HEADERS, (b"authorization", b"Bearer x")]}, asked()),
        ({}, b"{"),
        ({}, b"[" * 50_000),
        ({}, b"[]"),
        ({}, b"\xff"),
        ({}, asked(variables=[1])),
        ({}, asked(operationName=1)),
        ({}, asked(operationName="Nobody")),
        ({}, asked(query=None)),
        ({}, asked(query="{ nothing }")),
        ({}, asked(query="{")),
        ({}, asked(variables={})),
        ({}, asked(variables={"code": 1})),
    ],
)
async def test_what_is_not_plain_is_djangos_to_judge(door, more, body):
    expected = await by_django(body, scope_of(**more))

    found = Exchange(body)
    await door.door(scope_of(**more), found.receive, found.send)

    assert door.django_asked == 1
    assert (found.status, found.body) == (expected.status, expected.body)


async def test_without_workers_django_answers(door):
    close_workers()

    found = await door.ask(asked())

    assert (door.django_asked, found.json["data"]["author"]["name"]) == (1, "Ada")


async def test_other_middleware_closes_the_lane(door, monkeypatch):
    from api.serving import lane

    monkeypatch.setattr(lane, "_is_as_shipped", lambda: False)

    found = await door.ask(json.dumps({"query": QUESTION, "variables": {"code": "b"}}).encode())

    assert (door.django_asked, found.json) == (1, {"data": {"author": None}})
