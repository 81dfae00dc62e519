"""Secrets in answers, redirects, errors, watermarks and log lines: the other canaries."""

import base64
import gzip
import json
import logging
from typing import Any

from ingest import Secrets

from .canaries import FORM, NASTY, SHAPES, Canary, Plant, shape
from .origin import Origin, response, then_reset, then_silence

__all__ = ["SHAPES"]

logger = logging.getLogger("orchard.extract")


def answer_header(name: str, value: str, *, label: str | None = None, **declaration) -> None:
    """A shape: a header of a response, `%s` in its value."""

    async def plant(client, origin: Origin, canary: Canary) -> None:
        header = f"{name}: {value.replace('%s', str(canary))}"
        await client.get(origin.answer("/", response(b"{}", header)))

    plant.__name__ = f"response header {label or name}"
    shape(**declaration)(plant)


def token_answer(
    label: str,
    body: str,
    *,
    content_type: str = "application/json",
    form: dict[str, Any] | None = None,
    compress: bool = False,
    cut: bool = False,
    **declaration,
) -> None:
    """A shape: the answer of a token endpoint, `%s` in its body."""

    async def plant(client, origin: Origin, canary: Canary) -> None:
        content = body.replace("%s", str(canary)).encode()
        headers = [f"Content-Type: {content_type}"]
        if compress:
            content = gzip.compress(content)
            headers.append("Content-Encoding: gzip")
        sent = response(content, *headers, length=len(content) + (40 if cut else 0))
        url = origin.answer("/oauth/token", then_reset(sent) if cut else sent)
        found = await (client.post(url, data=form) if form else client.get(url))
        # The extractor, unlike the archive, sees the token.
        assert str(canary) in found.text

    plant.__name__ = f"token answer {label}"
    shape(**declaration)(plant)


answer_header("X-Auth-Token", "%s")
answer_header("X-CSRF-Token", "%s")
answer_header("Authentication-Info", 'rspauth="%s"')
answer_header("WWW-Authenticate", "Negotiate %s")
answer_header("Link", '<https://a.example/?api_key=%s&page=2>; rel="next"')
answer_header("Refresh", "5; url=https://a.example/?sig=%s")
answer_header("Content-Location", "/p?session_id=%s")
answer_header("Set-Cookie", "sid=%s; Path=/; HttpOnly")
answer_header("Set-Cookie", "a=b; Path=/p?token=%s", label="Set-Cookie's path")
answer_header("X-Next", "https://u:%s@a.example/", middle="@", label="user information")
answer_header("Content-Type", "application/json;token=%s")

token_answer("OAuth 2.0", '{"access_token": "%s", "token_type": "bearer", "expires_in": 1}')
token_answer("as text", '{"access_token": "%s"}', content_type="text/plain")
token_answer("of a grant", '{"anything": "%s"}', form={"grant_type": "client_credentials"})
token_answer("form-encoded", "access_token=%s&scope=repo", content_type=FORM)
token_answer("compressed", '{"access_token": "%s"}', compress=True, keep_encoded=True)
token_answer("cut off", '{"refresh_token": "x", "access_token": "%s', cut=True)
token_answer("device flow", '{"device_code": "%s", "user_code": "AB-CD", "interval": 5}')
token_answer("introspection", '{"active": true, "jti": "%s"}', form={"token": "t" * 20})
token_answer("registration", '{"client_id": "a", "client_secret": "%s"}')
token_answer("Docker", '{"token": "%s", "expires_in": 300}')
token_answer("Google", '{"accessToken": "%s", "expireTime": "2026-11-22T00:00:00Z"}')
token_answer("Cognito", '{"AuthenticationResult": {"IdToken": "%s"}}')
token_answer("AWS metadata", '{"AccessKeyId": "A", "SecretAccessKey": "%s", "Token": "t"}')
token_answer(
    "AWS STS",
    "<AssumeRoleResponse><Credentials><SecretAccessKey>%s</SecretAccessKey></Credentials>"
    "</AssumeRoleResponse>",
    content_type="text/xml",
)
token_answer("log-in", '{"user": {"id": 1}, "session": "%s"}', form={"password": "pass-word-1"})
token_answer("bare JWT", "eyJhbGciOiJIUzI1NiJ9.%s.c2ln", content_type="text/plain")
token_answer(
    "by rule", '{"x": "%s"}', secrets=Secrets(token_endpoints=["http://127.0.0.1:*/oauth/"])
)
token_answer("field by rule", '[{"door": "%s"}]', secrets=Secrets(fields=["door"]))
token_answer("pattern by rule", "key is %s.", secrets=Secrets(patterns=["c4[0-9a-f]+y7[0-9a-f]+"]))


@shape(middle=NASTY)
async def basic_credential(client, origin, canary):
    credential = base64.b64encode(f"user:{canary}".encode()).decode()
    url = origin.answer("/", response(f"no: user:{canary}".encode()))
    await client.get(url, headers={"Authorization": f"Basic {credential}"})


@shape(middle=NASTY)
async def user_information(client, origin, canary):
    origin.answer("/p", response(b"{}"))
    await client.get(f"http://me:{canary.encoded}@127.0.0.1:{origin.port}/p")


@shape()
async def header_that_is_no_UTF_8(client, origin, canary):
    headers = {"X-Token": b"\xff\xfe" + str(canary).encode()}
    await client.get(origin.answer("/", response(b"{}")), headers=headers)


@shape()
async def cookies_of_each_hop(client, origin, canary):
    first, second = canary.words
    origin.answer("/1", response(b"", "Location: /2", f"Set-Cookie: a={first}", status="302 Found"))
    origin.answer("/2", response(b"", "Location: /3", f"Set-Cookie: b={second}", status="303 See"))
    origin.answer("/3", response(b"{}"))
    await client.get(origin.url("/1"))
    assert origin.asked[-1].header("cookie") == f"a={first}; b={second}"


@shape()
async def location_with_a_token(client, origin, canary):
    origin.answer("/1", response(b"", f"Location: /2?code={canary}", status="302 Found"))
    origin.answer("/2", response(b"{}"))
    await client.get(origin.url("/1"))


@shape()
async def location_with_a_fragment(client, origin, canary):
    origin.answer("/1", response(b"", f"Location: /2#id_token={canary}", status="302 Found"))
    origin.answer("/2", response(b"{}"))
    await client.get(origin.url("/1"))


def _echo(head: str, body: bytes = b"{}", status: str = "200 OK") -> Plant:
    async def plant(client, origin, canary):
        line = head.replace("%s", str(canary))
        content = body.replace(b"%s", str(canary).encode())
        content = content.replace(b"%e", canary.encoded.encode())
        content = content.replace(b"%j", json.dumps(str(canary)).encode())
        origin.answer("/", response(content, line, status=status.replace("%s", str(canary))))
        await client.get(origin.url("/"), headers={"X-Api-Key": str(canary)})

    return plant


for _label, _plant in {
    "header": _echo("X-Echo: you sent %s"),
    "ETag": _echo('ETag: "%s"'),
    "path": _echo("Link: </keys/%s/2>; rel=next"),
    "reason phrase": _echo("X-A: b", status="200 Hello %s"),
    "body": _echo("X-A: b", b'{"you": "%s"}'),
    "body, percent-encoded": _echo("X-A: b", b"next: /?q=%e"),
    "body as JSON": _echo("X-A: b", b"[%j]"),
}.items():
    _plant.__name__ = f"request's secret repeated in {_label}"
    shape(middle="/+=" if "body" in _label else "")(_plant)


@shape()
async def next_page_with_the_key(client, origin, canary):
    target = f"/p?page=1&key={canary}"
    body = json.dumps({"next": origin.url(f"/p?page=2&key={canary}")}).encode()
    await client.get(origin.answer(target, response(body)))


@shape()
async def token_used_later(client, origin, canary):
    answer = response(f'{{"access_token": "{canary}"}}'.encode())
    token = (await client.get(origin.answer("/oauth", answer))).json()["access_token"]
    url = origin.answer("/", response(f"hello {token}".encode()))
    await client.get(url, headers={"Authorization": f"Bearer {token}"})


@shape()
async def header_line_that_cannot_be_parsed(client, origin, canary):
    await client.get(origin.answer("/", response(b"{}", f"X-Auth-Token : {canary}")))


@shape()
async def status_line_that_cannot_be_parsed(client, origin, canary):
    await client.get(origin.answer("/", f"HTTP/1.1 {canary} OK\r\n\r\n".encode()))


@shape()
async def message_of_an_exception(client, origin, canary):
    await client.get(origin.answer("/p", response(b"{}")), params={"sig": str(canary)})
    raise ValueError(f"unexpected: {canary}")


@shape()
async def cause_in_a_group(client, origin, canary):
    url = origin.answer("/p", response(b"{}"))
    await client.get(url, headers={"Authorization": f"Bearer {canary}"})
    try:
        raise KeyError(str(canary))
    except KeyError as error:
        error.add_note(f"with {canary}")
        raise ExceptionGroup("two", [RuntimeError(f"no {canary}")]) from error


@shape()
async def exception_with_an_address_nobody_asked(client, origin, canary):
    raise RuntimeError(f"https://u:{canary}@a.example/?password={canary} Bearer {canary}")


@shape()
async def status_that_fails(client, origin, canary):
    origin.answer("/p", response(b"{}", status="500 No"))
    await client.get(origin.url(f"/p?token={canary}"))


@shape()
async def host_that_is_not_there(client, origin, canary):
    await client.get(f"http://u:{canary}@127.0.0.1:1/?api_key={canary}")


@shape(timeout=0.3)
async def silence(client, origin, canary):
    await client.get(origin.answer("/p", then_silence()), params={"api_key": str(canary)})


@shape()
async def address_that_is_none(client, origin, canary):
    await client.get(f"http://user:{canary}/x@127.0.0.1/")


@shape()
async def header_that_cannot_be_sent(client, origin, canary):
    await client.get(origin.url("/"), headers={"X-Api-Key": f"{canary}\nX: y"})


@shape()
async def page_that_names_itself(client, origin, canary):
    url = origin.answer(f"/p?token={canary}", response(b"{}"))
    async for _ in client.pages(url, next_url=lambda page: url):
        pass


@shape()
async def watermark(client, origin, canary):
    await client.get(origin.answer("/", response(b"{}")))
    client.advance({"next": [f"https://a.example/?page=2&access_token={canary}"]})


@shape()
async def watermark_that_is_a_token(client, origin, canary):
    await client.get(origin.answer("/", response(b"{}")), headers={"X-Api-Key": str(canary)})
    client.advance(f"page-2-{canary}")


@shape()
async def watermark_that_is_not_JSON(client, origin, canary):
    client.advance({f"https://a.example/?api_key={canary}"})


@shape()
async def log_line_of_an_extractor(client, origin, canary):
    await client.get(origin.answer("/", response(b"{}")), headers={"X-Api-Key": str(canary)})
    logger.debug("asked with %s and %r", canary, {"password": str(canary)})
    try:
        raise OSError(f"refused {canary}")
    except OSError:
        logger.exception("went wrong")
