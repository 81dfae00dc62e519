"""SQL over HTTP: how it is asked, who may ask, what a browser sees."""

import asyncio
import io
import json
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, override_settings

from api.access.tokens import make_token
from warehouse.sql_pool.pool import close_pool


class Client(AsyncClient):
    """A client that names the host itself: Django's says `testserver`, besides what it is told."""

    def _base_scope(self, **request):
        scope = super()._base_scope(**request)  # type: ignore[misc]
        scope["headers"].remove((b"host", b"testserver"))
        return scope


class Browser:
    """Asks /sql from this machine, all requests in one event loop, as a server has."""

    def __init__(self):
        self.runner = asyncio.Runner()

    def get(self, headers=None, **asked):
        return self.runner.run(self._send("get", f"/sql?{urlencode(asked)}", headers))

    def post(self, body, kind="application/json", address="/sql", headers=None):
        data = body if isinstance(body, str) else json.dumps(body)
        return self.runner.run(self._send("post", address, headers, data=data, content_type=kind))

    async def _send(self, method, address, headers, **more):
        client = Client(enforce_csrf_checks=True)
        headers = {"host": "localhost", **(headers or {})}
        response = await getattr(client, method)(address, headers=headers, **more)
        if response.streaming:
            response.text_sent = b"".join([piece async for piece in response])
        else:
            response.text_sent = response.content
        return response

    def close(self):
        self.runner.run(close_pool())
        self.runner.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    where = override_settings(
        ROOTCELLAR_HOME=home,
        WAREHOUSE_DIR=home / "warehouse",
        ARCHIVE_URL=str(home / "archive"),
        SQL_WORKERS=1,
    )
    with where:
        browser = Browser()
        yield browser
        browser.close()


def test_a_statement_comes_in_an_address(browser):
    response = browser.get(sql="SELECT $n AS n", parameters='{"n": 7}')

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert json.loads(response.text_sent)["rows"] == [{"n": 7}]


def test_a_statement_is_posted_as_json(browser):
    response = browser.post({"sql": "SELECT ? AS n", "parameters": [7], "format": "csv"})

    assert response.text_sent == b"n\n7\n"


def test_a_statement_is_posted_as_it_is(browser):
    response = browser.post("FROM range(9)", "application/sql", "/sql?format=jsonl&rows=2")

    assert response.text_sent == b'{"range": 0}\n{"range": 1}\n'


@pytest.mark.parametrize(
    ("accepted", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("application/json;q=0.5, text/*;q=0.1", "application/json"),
        ("text/plain;q=0.9, text/csv;q=0.2", "text/csv"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
        (
            "application/json;q=0.1, application/vnd.apache.parquet",
            "application/vnd.apache.parquet",
        ),
    ],
)
def test_the_accept_header_chooses_the_form(browser, accepted, kind):
    response = browser.get(headers={"Accept": accepted}, sql="SELECT 1 AS n")

    assert response["Content-Type"].partition(";")[0] == kind
    assert "Accept" in response["Vary"]


def test_arrow_and_parquet_are_read_by_their_readers(browser):
    sql = "SELECT range AS n, range / 2 AS half FROM range(5000)"

    arrow = pa.ipc.open_stream(browser.get(sql=sql, format="arrow").text_sent).read_all()
    parquet = pq.read_table(io.BytesIO(browser.get(sql=sql, format="parquet").text_sent))

    assert arrow.num_rows == 5000
    assert arrow.equals(parquet)


@pytest.mark.parametrize(
    ("asked", "status", "code", "words"),
    [
        ({}, 400, "request", "`sql` is missing"),
        ({"sql": " "}, 400, "request", "`sql` is missing"),
        ({"sql": "SELECT 1", "limit": "3"}, 400, "request", "known are sql, parameters"),
        ({"sql": "SELECT 1", "format": "xml"}, 400, "request", "there are json, jsonl"),
        ({"sql": "SELECT 1", "rows": "-1"}, 400, "request", "`rows` is a number above 0"),
        ({"sql": "SELECT 1", "rows": "1.5"}, 400, "request", "whole number"),
        ({"sql": "SELECT 1", "rows": "nan"}, 400, "request", "`rows` is a number"),
        ({"sql": "SELECT 1", "timeout": "9999"}, 400, "request", "up to 60"),
        ({"sql": "SELECT $x", "parameters": "{"}, 400, "request", "no JSON"),
        ({"sql": "SELECT $x", "parameters": "1"}, 400, "request", "neither"),
        ({"sql": "SELECT 1" + " " * 100_000}, 413, "request", "100,000 characters"),
        ({"sql": "DROP TABLE x"}, 400, "refused", "DROP TABLE x is refused"),
        ({"sql": "SELECT 1; SELECT 2"}, 400, "failed", "One statement"),
        ({"sql": "SELEC 1"}, 400, "failed", "syntax error"),
        ({"sql": "FROM sample_bok"}, 400, "failed", "sample_book"),
        (
            {"sql": "SELECT count(*) FROM range(1000000000) a, range(1000) b", "timeout": "0.2"},
            400,
            "timeout",
            "stopped after 0.2 s",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
def test_what_is_wrong_is_said(browser, asked, status, code, words):
    response = browser.get(**asked)

    assert response.status_code == status
    error = json.loads(response.text_sent)
    assert error["code"] == code
    assert words in error["error"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("[1]", "application/json", 400),
        ("{", "application/json", 400),
        ('{"sql": 1}', "application/json", 400),
        ('{"sql": "SELECT 1"}', "text/plain", 415),
        ("sql=SELECT 1", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_post_that_is_none_is_the_clients_mistake(browser, body, kind, status):
    assert browser.post(body, kind).status_code == status


@pytest.mark.parametrize(
    "members",
    [
        '"parameters": [1180591620717411303424]',
        '"parameters": [1e999]',
        '"parameters": [NaN]',
        '"parameters": ["\\ud800"]',
        '"parameters": ' + "[" * 300 + "]" * 300,
        '"parameters": "[1180591620717411303424]"',
        f'"rows": 1{"0" * 400}',
        f'"timeout": 1{"0" * 400}',
        '"sql": "SELECT \'\\ud800\'"',
    ],
)
def test_values_that_cannot_be_passed_on_are_the_clients_mistake(browser, members):
    response = browser.post('{"sql": "SELECT $1 AS n", ' + members + "}")

    assert response.status_code == 400
    assert json.loads(response.text_sent)["code"] == "request"


def test_the_greatest_numbers_of_64_bits_are_passed_on(browser):
    numbers = [2**63 - 1, -(2**63), 2**64 - 1]

    response = browser.post({"sql": "SELECT unnest([$1, $2, $3]) AS n", "parameters": numbers})

    assert [row["n"] for row in json.loads(response.text_sent)["rows"]] == numbers


@pytest.mark.parametrize("kind", ["application/json", "application/sql"])
def test_a_request_that_is_too_large_is_told_so_in_json(browser, kind):
    response = browser.post("x" * 3_000_000, kind)

    assert response.status_code == 413
    assert json.loads(response.text_sent)["code"] == "request"


def test_a_form_that_nobody_writes_is_not_acceptable(browser):
    assert browser.get(headers={"Accept": "image/png"}, sql="SELECT 1").status_code == 406


def test_more_rows_than_allowed_end_in_an_error(browser, settings):
    settings.SQL_ROWS = 10

    response = browser.get(sql="FROM range(11)")

    assert json.loads(response.text_sent)["code"] == "too_many_rows"


def test_a_request_that_was_passed_on_needs_a_token(browser, settings):
    settings.ANONYMOUS_READ = "loopback"

    response = browser.get(headers={"X-Forwarded-For": "127.0.0.1"}, sql="SELECT 1")

    assert response.status_code == 401
    assert "needs a token" in response.text_sent.decode()


def test_who_may_only_read_may_not_ask(browser, settings):
    settings.ANONYMOUS_READ = "everyone"

    response = browser.get(headers={"X-Forwarded-For": "127.0.0.1"}, sql="SELECT 1")

    assert response.status_code == 403
    assert "has not the scope sql" in response.text_sent.decode()


def get_with_token(secret):
    headers = {"host": "localhost", "Authorization": f"Bearer {secret}"}
    return async_to_sync(Client().get)("/sql", headers=headers)


def test_a_token_with_the_scope_alone_may_ask(db, settings):
    settings.ANONYMOUS_READ = "nobody"

    response = get_with_token(make_token("analyst", scopes=["sql"]))

    assert response.json()["error"].startswith("`sql` is missing")


def test_a_token_that_sees_single_sources_may_not(db):
    response = get_with_token(make_token("partner", scopes=["read", "sql"], sources=["sample"]))

    assert response.status_code == 403
    assert "SQL sees them all" in response.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
)
def test_a_page_of_another_site_may_link_here_but_not_ask(browser, headers, status):
    assert browser.get(headers=headers, sql="SELECT 1").status_code == status


def test_a_page_of_another_site_may_not_post(browser):
    response = browser.post({"sql": "SELECT 1"}, headers={"Origin": "http://elsewhere.example"})

    assert response.status_code == 403


def test_other_methods_are_refused(browser):
    response = browser.runner.run(browser._send("put", "/sql", None))

    assert response.status_code == 405
    assert response["Allow"] == "GET, POST"


def test_it_can_be_switched_off(browser, settings):
    settings.SQL_WORKERS = 0

    assert browser.get(sql="SELECT 1").status_code == 404


def page(browser, **asked):
    response = browser.get(headers={"Accept": "text/html,*/*;q=0.8"}, **asked)
    return response, response.text_sent.decode()


def test_a_browser_gets_a_page_that_lists_the_tables(browser):
    response, text = page(browser)

    assert response.status_code == 200
    assert "<textarea" in text
    assert "sample_book" in text
    assert "http:" not in text
    assert "https:" not in text
    assert "<script" not in text
    assert "default-src 'none'" in response["Content-Security-Policy"]


def test_what_a_stranger_wrote_is_text_on_the_page(browser):
    _, text = page(browser, sql="SELECT '<script>alert(1)</script>' AS \"<b>\", NULL AS n")

    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert '<span class="null">null</span>' in text


def test_the_page_shows_the_first_rows_and_links_to_all(browser):
    _, text = page(browser, sql="SELECT range FROM range(1000)")

    assert "The first 200 rows; there are more." in text
    assert text.count("<tr><td>") >= 200
    link = text.split('href="/sql?')[1].split('"')[0].replace("&amp;", "&")
    assert link == "sql=SELECT+range+FROM+range%281000%29&format=json"


def test_the_page_says_what_is_wrong(browser):
    response, text = page(browser, sql="SELECT <oops>")

    assert response.status_code == 400
    assert 'role="alert"' in text
    assert "syntax error" in text
    assert "&lt;oops&gt;" in text


def test_rows_too_large_for_a_page_are_not_shown(browser):
    _, text = page(browser, sql="SELECT repeat('x', 100000) AS t FROM range(100)")

    assert "too large for a page" in text
