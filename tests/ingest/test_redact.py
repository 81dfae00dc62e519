"""Canaries: secrets in every place they may stand, none of which may reach the disk."""

import re
from html import escape
from json import dumps
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from asgiref.sync import sync_to_async
from hypothesis import given
from hypothesis import strategies as st

from ingest import Secrets
from ingest.errors import ExtractorInvalid
from ingest.redact import Redactor
from raw_store.payload import request_key
from raw_store.printing import outcome
from raw_store.versions import judge_payload

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
    assert b'"page": 2' in json
    assert b'name="page"\r\n\r\n2\r\n' in multipart


def test_the_answer_of_a_token_endpoint_is_known_and_no_other():
    answer = b'{"access_token": "%s", "token_type": "bearer", "expires_in": 1}' % CANARY.encode()
    about = b'{"docs": "send your access_token in the header"}'

    def is_token_answer(body):
        return redactor.is_token_answer(body, status=200, url="https://a.example/")

    assert is_token_answer(answer)
    assert not is_token_answer(about)


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


# What stands around a secret, and how it is written there.
SLOTS: dict[str, tuple[str, Any]] = {
    "query": ("https://a.example/p?page=2&api_key=%s&z=1#x=1", lambda text: quote(text, safe="")),
    "nested": (
        "https://a.example/p?next=https%%3A%%2F%%2Fb.example%%2F%%3Fpage%%3D1%%26token%%3D%s%%26z%%3D1&y=2",
        lambda text: quote(quote(text, safe=""), safe=""),
    ),
    "user information": ("https://%s@a.example/p?page=2", lambda text: quote(text, safe="")),
    "form": ("page=2&password=%s&z=1", quote_plus),
    "JSON": (
        '{"page":  2, "deep": [{"password":\t"%s"}], "z": 1.0}',
        lambda text: dumps(text)[1:-1],
    ),
    "XML": ("<a page='2'><b:Password>%s</b:Password> <z/></a>", escape),
    "header": ("%s", str),
    "cookie": ("a=; sid=%s; z=", lambda text: quote(text, safe="")),
}


def masked_in(slot, text, by):
    before, after = SLOTS[slot][0].replace("%%", "%").split("%s")
    given = before + SLOTS[slot][1](text) + after
    if slot in ("query", "nested", "user information"):
        shown = by.url(given)
    elif slot == "header":
        shown = by.headers((("X-Api-Key", given),))[0][1]
    elif slot == "cookie":
        shown = by.headers((("Cookie", given),))[0][1]
    else:
        kinds = {"form": "application/x-www-form-urlencoded", "JSON": "application/json"}
        shown = by.request_body(given.encode(), kinds.get(slot, "text/xml")).decode()
    return shown, before, after


secrets_of_any_kind = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=60
).filter(lambda text: text.strip("\"' ") == text and not text.startswith("redacted"))


@pytest.mark.parametrize("slot", SLOTS)
@given(secret=secrets_of_any_kind, other=secrets_of_any_kind)
def test_any_secret_is_masked_and_nothing_beside_it(slot, secret, other):
    by = Redactor("key")
    shown, before, after = masked_in(slot, secret, by)
    mask = shown.removeprefix(before).removesuffix(after)

    assert shown == before + mask + after
    assert re.fullmatch(r'"?redacted-[0-9a-f]{16}"?', mask)
    assert (masked_in(slot, other, by)[0] == shown) == (other == secret)
    assert masked_in(slot, secret, Redactor("key"))[0] == shown


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8), st.integers(1, 9))
def test_a_body_in_chunks_is_masked_like_a_whole_one(pieces, step):
    met = Redactor("key")
    met.headers((("X-Api-Key", CANARY),))
    body = CANARY.encode().join(pieces)
    chunks = [body[at : at + step] for at in range(0, len(body), step)]

    masked = met.response_body(body)

    assert b"".join(met.response_chunks(chunks)) == masked
    assert CANARY.encode() not in masked


def test_a_plain_argument_is_masked_in_the_address_and_stays_in_the_body():
    met = Redactor("key")
    met.url("https://a.example/?key=census2020county&hash=5f4dcc3b5aa765d61d8327deb882cf99")
    body = b'{"key": "census2020county", "commit": "5f4dcc3b5aa765d61d8327deb882cf99"}'

    assert met.response_body(body) == body
    assert b"census2020county" not in met.response_body(b"/?page=2&key=census2020county")


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": {"token_type": "x", "max_tokens": 5, "next_token": "abc"}}',
        b'[{"access_token": "a row of data"}]',
        b'{"symbol": "BTC", "token": "BTC"}',
        b'{"error": "invalid_grant"}',
        b"<html><form><input name='csrf_token' value='x'></form></html>",
        b"name,token\na,b\n",
    ],
)
def test_what_only_resembles_a_token_answer_is_archived(body):
    assert not redactor.is_token_answer(body, status=200, url="https://a.example/")


def test_a_refused_grant_is_archived_and_a_granted_one_is_not():
    asked: dict[str, Any] = {
        "url": "https://a.example/oauth",
        "request_body": b"grant_type=password&username=a",
    }
    refused = b'{"error": "invalid_grant"}'

    assert not redactor.is_token_answer(refused, status=400, **asked)
    assert redactor.is_token_answer(b"{}", status=200, **asked)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"parameters": "key"}, "list of texts"),
        ({"paths": ["/bot/"]}, "{secret}"),
        ({"patterns": ["("]}, "patterns="),
        ({"patterns": ["x*"]}, "empty text"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule, message):
    with pytest.raises(ExtractorInvalid, match=re.escape(message)):
        Secrets(**rule)


def test_a_name_that_is_kept_is_no_secret():
    kept = Redactor("key", Secrets(keep=["key", "X-Session-Count", "token"]))
    url = "https://a.example/?key=iron&token=tin"

    assert kept.url(url) == url
    assert kept.headers((("X-Session-Count", "3"),)) == (("X-Session-Count", "3"),)
    assert not kept.is_token_answer(b'{"token": "a", "expires_at": "b"}', status=200, url=url)


async def test_a_withheld_answer_is_a_row_and_no_version(origin, extract, payloads, archive):
    url = origin.answer(
        "/oauth", response(b'{"access_token": "%s"}' % CANARY.encode(), 'ETag: "1"')
    )

    async def pages(client):
        for _ in range(2):
            assert (await client.get(url)).json() == {"access_token": CANARY}

    run = await extract(pages)
    rows = await sync_to_async(payloads)()
    reports = await sync_to_async(lambda: list(archive.verify()))()

    assert outcome(rows[0]) == f"body withheld: {rows[0].encoded_size} B that hand out secrets"
    assert run.outcome == "complete"
    assert [(row.status, row.error, row.body, row.body_digest, row.payload_id) for row in rows] == [
        (200, None, None, None, None)
    ] * 2
    assert all(row.encoded_size and row.encoded_digest is None for row in rows)
    assert [judge_payload(row) for row in rows] == [None, None]
    assert not [problem for report in reports for problem in report.problems]


async def test_a_page_with_a_masked_link_is_fetched_again_whole(origin, extract):
    page = b'{"next": "/?api_key=%s"}' % CANARY.encode()
    url = origin.answer(
        f"/?api_key={CANARY}",
        response(page, 'ETag: "1"'),
        response(b"", 'ETag: "1"', status="304 Not Modified"),
        response(page, 'ETag: "1"'),
    )
    seen = []

    async def pages(client):
        seen.append((await client.get(url)).content)

    await extract(pages)
    await extract(pages)

    assert seen == [page, page]
