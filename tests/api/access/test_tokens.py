"""Tokens: given out once, kept as digests, worthless when they expire or are revoked."""

from datetime import timedelta
from io import StringIO

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.test import AsyncClient
from django.utils import timezone

from api.access import tokens
from api.errors import TokenRefused
from api.models import Token


@pytest.fixture(autouse=True)
def closed(db, settings):
    settings.ANONYMOUS_READ = "nobody"
    tokens.forget()
    yield
    tokens.forget()


def get(path="/", secret=None, cookie=None, **headers):
    if secret:
        headers["Authorization"] = f"Bearer {secret}"
    return async_to_sync(browser(cookie).get)(path, headers=headers)


def browser(cookie=None):
    found = AsyncClient(enforce_csrf_checks=True)
    if cookie:
        found.cookies["rootcellar_token"] = cookie
    return found


def create(*options):
    out = StringIO()
    call_command("tokens", "create", *options, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def test_a_token_opens_what_is_closed_without():
    secret = create("reader")

    assert (get().status_code, get(secret=secret).status_code) == (401, 200)


def test_only_a_digest_is_kept():
    secret = create("reader")

    kept = Token.objects.values().get()
    assert secret not in str(kept)
    assert kept["digest"] == tokens.digest_of(secret)


def test_a_refusal_says_what_to_send():
    answer = get()

    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert "manage.py tokens create" in answer.json()["errors"][0]["message"]


def test_an_expired_token_is_worthless():
    secret = tokens.make_token("old", scopes=["read"], expires_at=timezone.now())

    answer = get(secret=secret)

    assert answer.status_code == 401
    assert "has expired" in answer.json()["errors"][0]["message"]


def test_a_token_expires_though_it_was_read_a_moment_ago():
    secret = create("reader", "--days", "1")
    assert get(secret=secret).status_code == 200

    _, kept = tokens.known_token(secret)
    assert kept is not None
    kept.expires_at = timezone.now() - timedelta(seconds=1)

    assert get(secret=secret).status_code == 401


def test_a_revoked_token_is_worthless():
    secret = create("reader")
    assert get(secret=secret).status_code == 200

    call_command("tokens", "revoke", "reader", stdout=StringIO())

    answer = get(secret=secret)
    assert answer.status_code == 401
    assert "was revoked" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer rc_none", "Basic cmM6cmM=", "bearer  ", "Bearer \xff"]
)
def test_what_is_no_token_opens_nothing(header):
    assert get(Authorization=header).status_code == 401


def test_a_token_without_read_reads_nothing():
    secret = create("query", "--scope", "sql")

    assert get(secret=secret).status_code == 403


def test_admin_may_everything():
    secret = create("chief", "--scope", "admin")

    assert get(secret=secret).status_code == 200


def test_a_wrong_token_is_refused_where_anyone_may_read(settings):
    settings.ANONYMOUS_READ = "everyone"

    assert (get().status_code, get(secret="rc_wrong").status_code) == (200, 401)


def test_health_is_told_to_anyone(home):
    assert get("/healthz").status_code == 200


def test_a_browser_gets_a_page_to_log_in_on():
    answer = get(Accept="text/html")

    assert answer.status_code == 401
    assert 'action="/login"' in answer.content.decode()


def test_logging_in_keeps_the_token_in_a_cookie_of_this_site_alone():
    secret = create("reader")

    answer = log_in(secret)

    cookie = answer.cookies["rootcellar_token"]
    assert (answer.status_code, cookie.value) == (302, secret)
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
    assert get(cookie=secret).status_code == 200


@pytest.mark.parametrize("days", [None, -1])
def test_logging_in_with_a_worthless_token_keeps_nothing(days):
    secret = "rc_none"
    if days:
        secret = tokens.make_token(
            "old", scopes=["read"], expires_at=timezone.now() + timedelta(days=days)
        )

    answer = log_in(secret)

    assert (answer.status_code, dict(answer.cookies)) == (403, {})


def test_another_site_logs_nobody_in():
    assert log_in(create("reader"), Origin="http://elsewhere.example").status_code == 403


def log_in(secret, **headers):
    return async_to_sync(browser().post)("/login", {"token": secret}, headers=headers)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Origin": "http://testserver"}, 200),
        ({"Origin": "http://elsewhere.example"}, 401),
        ({"Origin": "null"}, 401),
        ({"Sec-Fetch-Site": "same-origin"}, 401),
    ],
)
def test_a_cookie_posts_from_pages_of_this_site_alone(headers, status):
    answer = async_to_sync(browser(create("reader")).post)(
        "/graphql",
        '{"query": "{ feedsCount }"}',
        content_type="application/json",
        headers=headers,
    )

    assert answer.status_code == status


def test_a_cookie_reads_nothing_for_another_site():
    cookie = create("reader")

    assert get(cookie=cookie, **{"Sec-Fetch-Site": "cross-site"}).status_code == 401


def test_the_list_tells_what_each_may_and_until_when():
    create("reader", "--days", "3")
    create("query", "--scope", "sql", "--source", "sample")
    call_command("tokens", "revoke", "query", stdout=StringIO())
    out = StringIO()

    call_command("tokens", "list", stdout=out)

    query, reader = out.getvalue().splitlines()
    assert query.split()[:3] == ["query", "sql", "sample"]
    assert "revoked" in query
    assert "works until" in reader


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["reader"], "There is a token reader already"),
        (["other", "--source", "nowhere"], "There is no source nowhere"),
        (["other", "--days", "0"], "one day at least"),
    ],
)
def test_what_is_no_token_is_not_made(options, message):
    create("reader")

    with pytest.raises(CommandError, match=message):
        create(*options)


def test_revoking_what_is_not_there_is_told():
    with pytest.raises(CommandError, match="There is no token nobody"):
        call_command("tokens", "revoke", "nobody")


@pytest.mark.parametrize("scopes", [[], ["read", "write"]])
def test_scopes_are_those_that_there_are(scopes):
    with pytest.raises(TokenRefused, match="scope"):
        tokens.make_token("x", scopes=scopes)


def test_access_holds_where_django_is_asked_by_wsgi(client):
    secret = create("reader")

    closed, opened = client.get("/"), client.get("/", headers={"Authorization": f"Bearer {secret}"})

    assert (closed.status_code, opened.status_code) == (401, 200)
