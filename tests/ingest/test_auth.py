"""What requests show, to whom, how tokens are renewed, and that nothing of it is archived."""

import asyncio
import base64
import json
from urllib.parse import parse_qs

import pytest
from asgiref.sync import sync_to_async

from ingest import auth, errors

from .origin import response

TOKEN = "tk-9f31c2aa7be84d10"
UNAUTHORIZED = response(b"", status="401 Unauthorized")


@pytest.fixture
def variables(monkeypatch):
    for name, value in {"ORCHARD_ID": "tree:1", "ORCHARD_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def written(home):
    """Every byte below the home folder."""

    def read():
        return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())

    return read


def get(*urls):
    async def pages(client):
        for url in urls:
            await client.get(url)

    return pages


async def test_a_bearer_token_goes_where_it_is_for_and_nowhere_else(
    origin, extract, variables, written
):
    inside = origin.answer("/v1/a", response(b"{}"))
    outside = origin.answer("/v10/b", response(b"{}"))

    run = await extract(
        get(inside, outside), auth=auth.bearer("ORCHARD_TOKEN", to=origin.url("/v1"))
    )

    assert run.outcome == "complete", run.error
    assert [asked.header("authorization") for asked in origin.asked] == [f"Bearer {TOKEN}", None]
    assert TOKEN.encode() not in written()


async def test_a_redirect_elsewhere_carries_no_credential(origin, extract, variables):
    elsewhere = origin.url("/b").replace("127.0.0.1", "localhost")
    url = origin.answer("/a", response(b"", f"Location: {elsewhere}", status="302 Found"))
    origin.answer("/b", response(b"{}"))

    run = await extract(
        get(url),
        auth=auth.api_key("ORCHARD_TOKEN", to=origin.url(), header="X-Gate"),
        allow_private=["localhost", "127.0.0.0/8"],
    )

    assert run.outcome == "complete", run.error
    assert [asked.header("x-gate") for asked in origin.asked] == [TOKEN, None]


async def test_a_key_in_the_address_stays_out_of_the_archive_and_out_of_the_request_key(
    origin, extract, variables, payloads, written, monkeypatch
):
    url = origin.answer("/a", response(b"{}"))
    key = auth.api_key("ORCHARD_TOKEN", to=origin.url(), parameter="gate")

    await extract(get(f"{url}?page=2"), auth=key)
    monkeypatch.setenv("ORCHARD_TOKEN", "another-token-5b0c")
    await extract(get(f"{url}?page=2"), auth=key)
    one, other = await sync_to_async(payloads)()

    assert origin.asked[0].target == f"/a?page=2&gate={TOKEN}"
    assert one.request_key == other.request_key
    assert TOKEN.encode() not in written()


async def test_what_the_extractor_gives_itself_wins(origin, extract, variables):
    url = origin.answer("/a", response(b"{}"))

    async def pages(client):
        await client.get(url, headers={"authorization": "Bearer mine"})

    await extract(pages, auth=auth.bearer("ORCHARD_TOKEN", to=origin.url()))

    assert origin.asked[0].header("authorization") == "Bearer mine"


async def test_user_and_password_are_basic_credentials(origin, extract, variables, written):
    url = origin.answer("/a", response(b"{}"))

    await extract(get(url), auth=auth.basic("ORCHARD_ID", "ORCHARD_TOKEN", to=origin.url()))
    scheme, _, pair = origin.asked[0].header("authorization").partition(" ")

    assert (scheme, base64.b64decode(pair)) == ("Basic", f"tree:1:{TOKEN}".encode())
    assert TOKEN.encode() not in written()


async def test_a_variable_that_is_not_set_fails_the_run_by_its_name(origin, extract):
    run = await extract(get(origin.url()), auth=auth.bearer("ORCHARD_NONE", to=origin.url()))

    assert run.outcome == "failed"
    assert "ORCHARD_NONE is not set" in run.error
    assert origin.asked == []


@pytest.mark.parametrize(
    "declare",
    [
        lambda: auth.bearer("sk-live-1234", to="https://x.example"),
        lambda: auth.bearer("TOKEN", to=[]),
        lambda: auth.bearer("TOKEN", to="ftp://x.example"),
        lambda: auth.bearer("TOKEN", to="x.example"),
        lambda: auth.api_key("TOKEN", to="https://x.example"),
        lambda: auth.api_key("TOKEN", to="https://x.example", header="a", parameter="b"),
        lambda: auth.declared(["TOKEN"]),  # type: ignore[list-item]
    ],
    ids=["a secret", "nowhere", "ftp", "no address", "no place", "two places", "a text"],
)
def test_a_declaration_that_cannot_work_is_refused(declare):
    with pytest.raises(errors.ExtractorInvalid) as caught:
        declare()

    assert "sk-live-1234" not in str(caught.value)


class TokenServer:
    """Hands out `at-1`, `at-2`, …, and answers a page only to whom it counts as good."""

    def __init__(self, origin, **said):
        self.said = {"token_type": "Bearer", **said}
        self.asked = []
        self.good = set()
        self.url = origin.answer("/token", self.token)
        self.page = origin.answer("/page", self.answer)

    async def token(self, asked, writer):
        self.asked.append(asked)
        await asyncio.sleep(0.05)
        token = f"at-{len(self.asked)}-6f0e1d2c3b4a5968"
        self.good = {f"Bearer {token}"}
        writer.write(response(json.dumps({"access_token": token, **self.said}).encode()))

    async def answer(self, asked, writer):
        writer.write(
            response(b"{}") if asked.header("authorization") in self.good else UNAUTHORIZED
        )

    @property
    def forms(self):
        return [parse_qs(asked.body.decode()) for asked in self.asked]


def client_credentials(server, **options):
    given = {"client_id": "ORCHARD_ID", "client_secret": "ORCHARD_TOKEN", **options}
    return auth.client_credentials(server.url, to=server.page, **given)


async def test_many_requests_wait_for_one_token(origin, extract, variables, payloads, written):
    server = TokenServer(origin, expires_in=3600)

    async def pages(client):
        async for _ in client.map([f"{server.page}?n={n}" for n in range(8)], concurrency=8):
            pass

    run = await extract(pages, auth=client_credentials(server, scope="read"))
    archived = await sync_to_async(payloads)()
    (asked,) = server.asked
    pair = base64.b64decode(asked.header("authorization").partition(" ")[2])

    assert run.outcome == "complete", run.error
    assert server.forms == [{"grant_type": ["client_credentials"], "scope": ["read"]}]
    assert pair == f"tree%3A1:{TOKEN}".encode()
    assert archived[0].url == server.url
    assert (archived[0].body, archived[0].status) == (None, 200)
    assert b"at-1-6f0e1d2c3b4a5968" not in written()


async def test_a_refused_token_is_renewed_once_for_all(origin, extract, variables):
    server = TokenServer(origin)

    async def pages(client):
        await client.get(server.page)
        server.good = set()
        async for _ in client.map([f"{server.page}?n={n}" for n in range(5)], concurrency=5):
            pass

    run = await extract(pages, auth=client_credentials(server, style="body"))

    assert run.outcome == "complete", run.error
    assert len(server.asked) == 2
    assert server.forms[1]["client_secret"] == [TOKEN]


async def test_an_origin_that_refuses_every_token_is_asked_twice(origin, extract, variables):
    server = TokenServer(origin)
    url = origin.answer("/page/closed", UNAUTHORIZED)

    run = await extract(get(url), auth=client_credentials(server))

    assert "answered 401 Unauthorized" in run.error
    assert len(server.asked) == 2


async def test_a_token_is_renewed_before_its_end(origin, extract, variables):
    server = TokenServer(origin, expires_in=0.3)

    async def pages(client):
        await client.get(server.page)
        await asyncio.sleep(0.35)
        await client.get(server.page)

    run = await extract(pages, auth=client_credentials(server))
    statuses = [asked.target for asked in origin.asked]

    assert run.outcome == "complete", run.error
    assert statuses == ["/token", "/page", "/token", "/page"]


async def test_a_refresh_token_that_was_replaced_is_used_from_then_on(
    origin, extract, variables, written
):
    server = TokenServer(origin, refresh_token="rt-2-0a1b2c3d4e5f6071")

    async def pages(client):
        await client.get(server.page)
        server.good = set()
        await client.get(server.page)

    run = await extract(
        pages,
        auth=auth.refresh_token(
            server.url, to=server.page, token="ORCHARD_TOKEN", client_id="ORCHARD_ID"
        ),
    )

    assert run.outcome == "complete", run.error
    assert [form["refresh_token"] for form in server.forms] == [[TOKEN], ["rt-2-0a1b2c3d4e5f6071"]]
    assert b"rt-2-0a1b2c3d4e5f6071" not in written()
    assert TOKEN.encode() not in written()


async def test_a_token_endpoint_that_refuses_is_named_with_its_reason(origin, extract, variables):
    refusal = b'{"error": "invalid_client", "error_description": "unknown tree"}'
    url = origin.answer("/token", response(refusal, status="401 Unauthorized"))

    run = await extract(
        get(origin.url("/page")),
        auth=auth.client_credentials(
            url, to=origin.url(), client_id="ORCHARD_ID", client_secret="ORCHARD_TOKEN"
        ),
    )

    assert f"{url} gave no token: invalid_client (unknown tree)." in run.error
    assert "ORCHARD_ID, ORCHARD_TOKEN" in run.error


async def test_a_run_signs_in_first_and_again_when_it_was_signed_out(
    origin, extract, variables, written
):
    sessions: list[str] = []

    async def gate(asked, writer):
        sessions.append(f"s{len(sessions)}-77aa88bb99cc00dd")
        cookie = f"Set-Cookie: sid={sessions[-1]}; Path=/"
        writer.write(response(b"", cookie, "Location: /home", status="303 See Other"))

    async def page(asked, writer):
        is_in = sessions and f"sid={sessions[-1]}" in (asked.header("cookie") or "")
        writer.write(
            response(b"apples") if is_in else response(b"", "Location: /gate", status="302 Found")
        )

    origin.answer("/gate", response(b"who are you?"))
    origin.answer("/in", gate)
    origin.answer("/home", response(b"welcome"))
    url = origin.answer("/page", page)
    seen = []

    async def sign_in(client):
        await client.post(origin.url("/in"), data={"user": "tree", "password": TOKEN})

    async def pages(client):
        seen.append((await client.get(url)).text)
        sessions.append("ended")
        async for each in client.map([url, url, url]):
            seen.append(each.text)

    run = await extract(
        pages,
        auth=auth.login(
            sign_in, to=origin.url(), signed_out=lambda answer: answer.url.path == "/gate"
        ),
    )

    assert run.outcome == "complete", run.error
    assert seen == ["apples"] * 4
    assert [asked.target for asked in origin.asked].count("/in") == 2
    assert TOKEN.encode() not in written()
    assert b"77aa88bb99cc00dd" not in written()


async def test_headers_that_a_sign_in_returns_are_shown(origin, extract, variables):
    url = origin.answer("/page", response(b"{}"))
    origin.answer("/in", response(b'{"session": "abc123def456"}'))

    async def sign_in(client):
        answer = await client.post(origin.url("/in"), json={"password": TOKEN})
        return {"X-Session": answer.json()["session"]}

    run = await extract(get(url), auth=auth.login(sign_in, to=origin.url()))

    assert run.outcome == "complete", run.error
    assert [asked.header("x-session") for asked in origin.asked] == [None, "abc123def456"]
