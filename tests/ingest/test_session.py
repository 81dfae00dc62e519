"""From hop to hop: what a redirect inherits, and what is kept from another origin."""

import contextlib

import pytest
from asgiref.sync import sync_to_async

from ingest import FetchFailed

from .origin import Origin, response

SECRETS = {
    "Authorization": "Bearer q8Zr2LwX7pT4vK1m",
    "Cookie": "sid=q8Zr2LwX7pT4vK1n",
    "X-Api-Key": "q8Zr2LwX7pT4vK1o",
}


@pytest.fixture
async def elsewhere():
    async with Origin() as running:
        yield running


async def test_secrets_stay_with_the_origin_they_were_meant_for(origin, elsewhere, extract):
    end = elsewhere.answer("/end", response(b"{}"))
    url = origin.answer(
        "/", response(b"", "Set-Cookie: a=1; Path=/", f"Location: {end}", status="302 Found")
    )

    async def pages(client):
        await client.get(url, headers={**SECRETS, "X-Plain": "yes"})

    await extract(pages)
    (first,), (second,) = origin.asked, elsewhere.asked

    assert {name: first.header(name.lower()) for name in SECRETS} == SECRETS
    assert second.header("x-plain") == "yes"
    assert second.header("host") == f"127.0.0.1:{elsewhere.port}"
    assert [second.header(name.lower()) for name in ("Authorization", "X-Api-Key")] == [None, None]
    assert "q8Zr2LwX" not in (second.header("cookie") or "")


async def test_secrets_go_along_within_an_origin(origin, extract):
    url = origin.answer("/", response(b"", "Location: /end", status="307 Temporary Redirect"))
    origin.answer("/end", response(b"{}"))

    async def pages(client):
        await client.post(url, headers=SECRETS, content=b"body")

    await extract(pages)

    assert [asked.body for asked in origin.asked] == [b"body", b"body"]
    assert {name: origin.asked[1].header(name.lower()) for name in SECRETS} == SECRETS


async def test_a_post_that_becomes_a_get_leaves_its_body_and_what_describes_it(origin, extract):
    url = origin.answer("/", response(b"", "Location: /end", status="303 See Other"))
    origin.answer("/end", response(b"{}"))

    async def pages(client):
        await client.post(url, json={"a": 1})

    await extract(pages)
    _, second = origin.asked

    assert (second.method, second.body) == ("GET", b"")
    assert second.header("content-type") is None
    assert second.header("content-length") is None


async def test_a_cookie_is_shown_where_it_belongs_and_forgotten_when_it_is_told_to_go(
    origin, elsewhere, extract
):
    login = origin.answer("/login", response(b"", "Set-Cookie: sid=1; Path=/in; HttpOnly"))
    inside = origin.answer("/in/a", response(b"{}"))
    outside = origin.answer("/out", response(b"{}"))
    logout = origin.answer("/in/out", response(b"", "Set-Cookie: sid=; Path=/in; Max-Age=0"))

    async def pages(client):
        for url in (login, inside, outside, logout, inside):
            await client.get(url)

    await extract(pages)

    shown = [asked.header("cookie") for asked in origin.asked]
    assert shown == [None, "sid=1", None, "sid=1", None]


async def test_a_name_and_password_in_a_redirect_are_nobodys(origin, extract):
    url = origin.answer(
        "/",
        response(b"", f"Location: http://user:pw@127.0.0.1:{origin.port}/end", status="302 Found"),
    )
    origin.answer("/end", response(b"{}"))
    seen = []

    async def pages(client):
        seen.append(await client.get(url))

    await extract(pages)

    assert origin.asked[1].header("authorization") is None
    assert str(seen[0].url) == origin.url("/end")
    assert [hop.status_code for hop in seen[0].history] == [302]


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/file", "file:///etc/passwd", "gopher://a/"])
async def test_a_redirect_leads_to_http_alone(origin, extract, payloads, location):
    url = origin.answer("/", response(b"", f"Location: {location}", status="302 Found"))

    async def pages(client):
        with pytest.raises(FetchFailed, match="unsupported protocol"):
            await client.get(url)

    run = await extract(pages)
    hop, refused = await sync_to_async(payloads)()

    assert run.outcome == "complete", run.error
    assert (hop.status, refused.status, refused.attempt) == (302, None, 1)


async def test_a_redirect_to_a_port_that_is_none_is_a_failed_fetch(origin, extract):
    url = origin.answer("/", response(b"", "Location: http://127.0.0.1:99999/", status="302 Found"))

    async def pages(client):
        for address in (url, "http://127.0.0.1:99999/"):
            with pytest.raises(FetchFailed, match="99999 is not between 0 and 65535"):
                await client.get(address)

    run = await extract(pages)

    assert run.outcome == "complete", run.error


async def test_a_response_has_the_shape_that_httpx_gives_it(origin, extract):
    url = origin.answer(
        "/a?b=1",
        response(
            '{"a": "ł"}'.encode(),
            "Content-Type: application/json; charset=utf-8",
            'Link: </next>; rel="next"',
            "Set-Cookie: a=1",
            "X-Dup: 1",
            "x-dup: 2",
            status="200 Fine",
        ),
    )
    seen = []

    async def pages(client):
        seen.append(await client.get(url))

    await extract(pages)
    (answer,) = seen

    assert (answer.status_code, answer.reason_phrase, answer.http_version) == (
        200,
        "Fine",
        "HTTP/1.1",
    )
    assert answer.json() == {"a": "ł"}
    assert (answer.text, answer.encoding, answer.charset_encoding) == (
        '{"a": "ł"}',
        "utf-8",
        "utf-8",
    )
    assert answer.links["next"]["url"] == "/next"
    assert answer.headers.get_list("x-dup") == ["1", "2"]
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.cookies["a"] == "1"
    assert (answer.url.path, answer.url.params["b"]) == ("/a", "1")
    assert (answer.request.method, answer.request.url) == ("GET", answer.url)
    assert answer.request.headers["user-agent"].startswith("rootcellar/")
    assert answer.is_success
    assert not answer.is_redirect
    assert answer.elapsed.total_seconds() >= 0
    assert list(answer.iter_lines()) == ['{"a": "ł"}']
    assert await answer.aread() == answer.read() == answer.content
    assert answer.raise_for_status() is answer
    with contextlib.closing(answer):
        assert repr(answer) == "<Response [200 Fine]>"


@pytest.mark.parametrize(
    "first",
    [
        response(b"busy", "Content-Encoding: gzip", status="503 Service Unavailable"),
        response(b"moved", "Content-Encoding: gzip", "Location: /end", status="302 Found"),
    ],
)
async def test_a_status_counts_where_its_body_does_not_decode(origin, extract, payloads, first):
    url = origin.answer("/", first, response(b"{}"))
    origin.answer("/end", response(b"{}"))
    seen = []

    async def pages(client):
        seen.append((await client.get(url)).content)

    run = await extract(pages)
    undecoded, _ = await sync_to_async(payloads)()

    assert run.outcome == "complete", run.error
    assert seen == [b"{}"]
    assert undecoded.error.startswith("decode: ")


async def test_an_answer_to_head_says_how_large_the_page_is(origin, extract):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nContent-Encoding: gzip\r\n\r\n"
    url = origin.answer("/", head)
    seen = []

    async def pages(client):
        seen.append(await client.request("HEAD", url))

    run = await extract(pages)

    assert run.outcome == "complete", run.error
    assert seen[0].headers["content-length"] == "500"
    assert seen[0].headers["content-encoding"] == "gzip"
    assert (seen[0].content, seen[0].text) == (b"", "")
