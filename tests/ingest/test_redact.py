"""Canaries: secrets in every place they may stand, none of which may reach the disk."""

from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from hypothesis import given
from hypothesis import strategies as st

from ingest.redact import Redactor
from raw_store.payload import request_key

from .origin import response

CANARY = "canary0123456789abcdef"
redactor = Redactor("the installation's key")


def headers(*pairs):
    return redactor.headers(pairs)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Authorization", f"Bearer {CANARY}", "Bearer redacted-"),
        ("AUTHORIZATION", f"Basic {CANARY}", "Basic redacted-"),
        ("Authorization", f'Digest username="u", response="{CANARY}"', "Digest redacted-"),
        ("Authorization", CANARY, "redacted-"),
        ("Proxy-Authorization", f"Basic {CANARY}", "Basic redacted-"),
        ("Cookie", f"session={CANARY}; theme={CANARY}", "session=redacted-"),
        ("Set-Cookie", f"sid={CANARY}; Path=/; HttpOnly", "sid=redacted-"),
        ("X-Api-Key", CANARY, "redacted-"),
        ("x-goog-api-key", CANARY, "redacted-"),
        ("X-Auth-Token", CANARY, "redacted-"),
        ("PRIVATE-TOKEN", CANARY, "redacted-"),
        ("Ocp-Apim-Subscription-Key", CANARY, "redacted-"),
        ("X-Amz-Security-Token", CANARY, "redacted-"),
        ("X-CSRF-Token", CANARY, "redacted-"),
        ("Location", f"https://a.example/x?token={CANARY}&page=2", "https://a.example/x?token="),
        ("Location", f"https://a.example/#access_token={CANARY}&t=1", "https://a.example/#access"),
        ("Referer", f"https://u:{CANARY}@a.example/", "https://redacted-"),
        ("Link", f'<https://a.example/?api_key={CANARY}>; rel="next"', "<https://a.example/?api_"),
        ("Refresh", f"5; url=https://a.example/?sig={CANARY}", "5; url=https://a.example/?sig="),
    ],
)
def test_a_secret_header_is_masked_and_keeps_what_is_no_secret(name, value, kept):
    ((shown_name, shown),) = headers((name, value))

    assert CANARY not in shown
    assert shown_name == name
    assert shown.startswith(kept)
    assert "redacted-" in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WWW-Authenticate", 'Bearer realm="api"'),
        ("Content-Type", "text/html; charset=utf-8"),
        ("Link", '<https://a.example/?page=2&per_page=50>; rel="next"'),
        ("Accept", "text/html;q=0.9"),
        ("ETag", '"abc"'),
        ("User-Agent", "rootcellar/0.1"),
    ],
)
def test_an_ordinary_header_is_left_as_it_is(name, value):
    assert headers((name, value)) == ((name, value),)


@pytest.mark.parametrize(
    "name",
    [
        "token", "access_token", "api_key", "apikey", "API-Key", "key", "sig", "signature",
        "password", "client_secret", "X-Amz-Signature", "auth[password]", "user.password", "jwt",
    ],
)  # fmt: skip
def test_a_secret_parameter_is_masked_in_addresses_and_forms(name):
    url = redactor.url(f"https://a.example/p?page=2&{name}={CANARY}&q=a%20b")
    form = redactor.request_body(
        f"page=2&{name}={CANARY}".encode(), "application/x-www-form-urlencoded; charset=utf-8"
    )

    assert CANARY not in url
    assert url.startswith(f"https://a.example/p?page=2&{name}=redacted-")
    assert url.endswith("&q=a%20b")
    assert form is not None
    assert form.startswith(f"page=2&{name}=redacted-".encode())


def test_user_information_is_masked_whole():
    for user in (f"user:{CANARY}", f"{CANARY}:", CANARY):
        assert redactor.url(f"https://{user}@a.example/x").startswith("https://redacted-")
        assert CANARY not in redactor.url(f"https://{user}@a.example/x")


def test_secrets_in_json_and_multipart_request_bodies_are_masked():
    json = redactor.request_body(
        b'{"user": {"name": "a", "password": "%s"}, "page": 2}' % CANARY.encode(),
        "application/json",
    )
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    multipart = redactor.request_body(
        part % (b"token", CANARY.encode()) + part % (b"page", b"2") + b"--x--\r\n",
        "multipart/form-data; boundary=x",
    )

    assert json is not None
    assert multipart is not None
    assert CANARY.encode() not in json + multipart
    assert b'"page":2' in json
    assert b'name="page"\r\n\r\n2\r\n' in multipart


def test_the_answer_of_a_token_endpoint_is_masked_and_no_other():
    answer = b'{"access_token": "%s", "token_type": "bearer", "expires_in": 1}' % CANARY.encode()
    about = b'{"docs": "send your access_token in the header"}'

    assert CANARY.encode() not in redactor.response_body(answer, "application/json")
    assert redactor.response_body(about, "application/json") == about
    assert redactor.response_body(answer, "text/html") == answer


def test_the_same_secret_shows_the_same_digits_and_another_key_shows_others():
    other = Redactor("another key")

    assert redactor.mask(CANARY) == redactor.mask(CANARY) != redactor.mask(CANARY + "x")
    assert other.mask(CANARY) != redactor.mask(CANARY)


def key_of(url):
    return request_key("GET", redactor.url(url, for_key=True))


def test_a_renewed_token_leaves_the_request_the_same():
    assert key_of("https://a.example/?access_token=one&page=1") == key_of(
        "https://a.example/?access_token=two&page=1"
    )
    assert key_of("https://a.example/?access_token=one&page=1") != key_of(
        "https://a.example/?access_token=one&page=2"
    )


def test_a_parameter_that_may_be_no_secret_still_tells_requests_apart():
    assert key_of("https://a.example/?key=iron-ore") != key_of("https://a.example/?key=tin-ore")


@given(st.text(max_size=200))
def test_text_without_a_secret_name_is_never_changed(text):
    plain = text.replace("=", "").replace("@", "")

    assert redactor.url(plain) == plain
    assert redactor.scrub(plain) == plain


def test_a_message_is_scrubbed_of_every_secret_met():
    met = Redactor("key")
    met.headers((("Authorization", f"Bearer {CANARY}"),))

    assert CANARY not in met.scrub(f"KeyError: {CANARY} in https://u:pw-1234@a.example/?sig=ab")
    assert "pw-1234" not in met.scrub("at https://u:pw-1234@a.example/")


async def test_no_canary_reaches_the_disk(origin, extract, payloads, home, caplog):
    caplog.set_level("INFO")
    names = (
        "bearer", "cookie", "setcookie", "param", "user", "form", "json", "header", "location",
        "answer", "error",
    )  # fmt: skip
    canary = {name: f"canary-{name}-0123456789" for name in names}
    origin.answer("/end", response(b"{}", f"Set-Cookie: sid={canary['setcookie']}; Path=/"))
    origin.answer(
        "/start",
        response(b"", f"Location: /end?token={canary['location']}", status="302 Found"),
    )
    origin.answer(
        "/oauth",
        response(
            b'{"access_token": "%s"}' % canary["answer"].encode(), "Content-Type: application/json"
        ),
    )
    seen = []

    async def pages(client):
        user = f"http://me:{canary['user']}@127.0.0.1:{origin.port}/end"
        await client.get(
            origin.url(f"/start?api_key={canary['param']}"),
            headers={
                "Authorization": f"Bearer {canary['bearer']}",
                "Cookie": f"a={canary['cookie']}",
                "X-Api-Key": canary["header"],
            },
        )
        await client.get(user)
        await client.post(origin.url("/end"), data={"password": canary["form"]})
        await client.post(origin.url("/end"), json={"password": canary["json"]})
        seen.append((await client.get(origin.url("/oauth"))).json()["access_token"])
        await client.get(origin.url(f"/end?secret={canary['error']}"))
        raise ValueError(f"unexpected answer from {origin.url()}?secret={canary['error']}")

    run = await extract(pages)
    on_disk = b"".join(await sync_to_async(every_file)(home))
    archived = repr(await sync_to_async(payloads)())

    assert seen == [canary["answer"]]
    assert run.outcome == "failed"
    assert "redacted-" in archived
    for secret in canary.values():
        sent = any(secret in repr(asked) for asked in origin.asked)
        assert sent or secret in (canary["setcookie"], canary["answer"], canary["user"])
        assert secret.encode() not in on_disk
        assert secret not in archived
        assert secret not in run.error + run.traceback
        assert secret not in caplog.text


def every_file(home):
    return [path.read_bytes() for path in Path(home).rglob("*") if path.is_file()]
