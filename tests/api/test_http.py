"""GraphQL over HTTP: who may ask, and how."""

import gzip
import json

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

QUESTION = json.dumps({"query": "{ feedsCount }"})


def send(method, address, *args, **more):
    return async_to_sync(getattr(AsyncClient(enforce_csrf_checks=True), method))(
        address, *args, **more
    )


def test_a_question_comes_as_a_get_too():
    response = send(
        "get",
        "/graphql",
        {"query": "query ($s: String) { feedsCount(source: $s) }", "variables": '{"s": "sample"}'},
    )

    assert response.json() == {"data": {"feedsCount": 3}}


def test_a_program_asks_without_token_or_cookie():
    response = send("post", "/graphql", QUESTION, content_type="application/json")

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", QUESTION),
        ("application/x-www-form-urlencoded", "query={feedsCount}"),
        (
            "multipart/form-data; boundary=x",
            '--x\r\nContent-Disposition: form-data; name="operations"'
            '\r\n\r\n{"query":"{feedsCount}"}\r\n--x--\r\n',
        ),
    ],
)
def test_what_a_form_can_send_is_refused(kind, body):
    response = send("post", "/graphql", body, content_type=kind)

    assert response.status_code == 415
    assert "application/json" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://testserver", 200),
        ("http://elsewhere.example", 403),
        ("http://testserver.elsewhere.example", 403),
        ("null", 403),
        ("https://trusted.example", 200),
    ],
)
def test_a_page_of_another_site_may_not_ask(settings, origin, status):
    settings.CSRF_TRUSTED_ORIGINS = ["https://trusted.example"]

    response = send(
        "post", "/graphql", QUESTION, content_type="application/json", headers={"Origin": origin}
    )

    assert response.status_code == status


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "[1]",
        "null",
        '"x"',
        "{}",
        '{"query": 1}',
        '{"query": ""}',
        '{"query": "{ feedsCount }", "variables": "x"}',
        '{"query": "{ feedsCount }", "variables": [1]}',
        '{"query": "{ feedsCount }", "operationName": 1}',
        '{"query": "{ feedsCount }", "extensions": 1}',
        b'{"query": "{ feedsCount } # \xff"}',
        '{"query": "{ feedsCount }", "operationName": "\\ud800"}',
        '{"query": "{ feedsCount }", "variables": {"s": "\\ud800"}}',
        '{"query": "{ feedsCount }", "variables": {"s": ' + "1" * 5_000 + "}}",
        '{"query": "{ feedsCount }", "variables": {"s": ' + "[" * 100_000 + "]" * 100_000 + "}}",
    ],
)
def test_a_question_that_is_none_is_the_clients_mistake(body):
    response = send("post", "/graphql", body, content_type="application/json")

    assert response.status_code == 400


def test_pairs_of_surrogates_are_text():
    question = "query ($s: String) { feedsCount(source: $s) }"
    body = json.dumps({"query": question, "variables": {"s": "\U0001f331"}})
    assert "\\ud83c" in body

    response = send("post", "/graphql", body, content_type="application/json")

    assert response.json() == {"data": {"feedsCount": 0}}


@pytest.mark.parametrize("method", ["put", "head", "options", "delete"])
def test_other_methods_are_refused(method):
    response = send(method, "/graphql")

    assert response.status_code == 405
    assert response["Allow"] == "GET, POST"


def test_a_browser_gets_graphiql_from_this_server_alone():
    page = send("get", "/graphql", headers={"Accept": "text/html"})

    text = page.content.decode()
    assert 'src="/static/api/graphiql/graphiql.min.js?' in text
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src 'self'" in page["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("graphiql.min.js", "text/javascript; charset=utf-8", b"GraphiQL"),
        ("graphiql.min.css", "text/css; charset=utf-8", b".graphiql-container"),
        ("react.production.min.js", "text/javascript; charset=utf-8", b"createElement"),
        ("react-dom.production.min.js", "text/javascript; charset=utf-8", b"createRoot"),
        ("start.js", "text/javascript; charset=utf-8", b"createRoot"),
        ("page.css", "text/css; charset=utf-8", b"#graphiql"),
    ],
)
def test_what_graphiql_needs_is_served(name, kind, words):
    plain = send("get", f"/static/api/graphiql/{name}")
    packed = send("get", f"/static/api/graphiql/{name}", headers={"Accept-Encoding": "gzip, br"})

    is_packed = packed.get("Content-Encoding") == "gzip"
    assert plain["Content-Type"] == packed["Content-Type"] == kind
    assert words in plain.content
    assert (gzip.decompress(packed.content) if is_packed else packed.content) == plain.content
    assert "immutable" in plain["Cache-Control"]


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "graphiql/",
        "../../urls.py",
        "%2e%2e/%2e%2e/urls.py",
        "graphiql/graphiql.min.js.gz",
        "/etc/passwd",
        "graphiql\\start.js",
        "",
    ],
)
def test_no_other_file_is_served(name):
    assert send("get", f"/static/api/{name}").status_code == 404
