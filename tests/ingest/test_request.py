"""Requests as they are built and written: what httpx would build, without httpx where that is
quicker, and nothing that would arrive as something else."""

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.wire import request as requests
from ingest.wire.errors import RequestInvalid
from ingest.wire.request import build

DEFAULTS = (("Accept", "*/*"), ("User-Agent", "rootcellar"))

CHARACTERS = "abzAZ09-._~!$&'()*+,;=:@%/?#[]{}|^`\"<>\\ \té\u2603"
HOSTS = ["example.com", "EXAMPLE.com", "a", "127.0.0.1", "999.1.1.1", "1.2.3", "127.00.0.1",
         "[::1]", "münchen.example", "a..b", "-a.b", "a_b.c", "2130706433",
         "user:pw@a.b"]  # fmt: skip


@given(
    st.sampled_from(["http", "https", "HTTP", "ftp"]),
    st.sampled_from(HOSTS),
    st.sampled_from(["", ":80", ":443", ":8080", ":0", ":65535", ":"]),
    st.text(CHARACTERS, max_size=12),
)
@example("http", "example.com", "", "/a/../b")
@example("http", "example.com", "", "/.")
@example("http", "example.com", ":8080", "//a")
@example("https", "example.com", "", "/a?b=%2f&c=%zz")
@example("https", "example.com", "", "/a%2fb")
def test_an_address_is_what_httpx_makes_of_it(scheme, host, port, rest):
    url = f"{scheme}://{host}{port}{rest if rest[:1] in ('/', '?', '#') else '/' + rest}"

    try:
        # httpx takes :80 for HTTP's own port only where that is written in lower case.
        known = httpx.URL(url.replace("HTTP://", "http://"))
    except httpx.InvalidURL:
        with pytest.raises(httpx.InvalidURL):
            build("GET", url, DEFAULTS)
        return
    made = build("GET", url, DEFAULTS)

    assert made.url == str(known.copy_with(userinfo=b""))
    assert (made.scheme, made.host, made.port) == (
        known.scheme,
        known.raw_host.decode(),
        known.port,
    )
    assert made.target == known.raw_path.decode()
    assert made.headers[0] == ("Host", known.netloc.decode())


@pytest.mark.parametrize(
    "url", ["http://a.example/p/00001.json", "https://a.example:8443/x?a=%20b&c"]
)
def test_an_ordinary_address_is_built_without_httpx(url, monkeypatch):
    monkeypatch.setattr(requests, "httpx", None)

    assert build("get", url, DEFAULTS).url == url


def test_an_extractors_header_takes_the_place_of_the_programs():
    made = build("GET", "http://a.example/", DEFAULTS, headers={"accept": "text/xml", "X-A": "1"})

    assert made.headers == [
        ("Host", "a.example"),
        ("accept", "text/xml"),
        ("User-Agent", "rootcellar"),
        ("X-A", "1"),
    ]


def test_bodies_and_parameters_are_written_as_httpx_writes_them():
    form = build("POST", "http://a.example/?gone=1", DEFAULTS, params={"q": "a b"}, data={"x": "ł"})
    json = build("POST", "http://a.example/", DEFAULTS, json={"x": ["ł"]})

    assert (form.target, form.content) == ("/?q=a+b", b"x=%C5%82")
    assert form.header("content-type") == "application/x-www-form-urlencoded"
    assert json.content == '{"x":["ł"]}'.encode()
    assert json.written().endswith(b'Content-Type: application/json\r\n\r\n{"x":["\xc5\x82"]}')


def test_user_information_becomes_a_credential_and_leaves_the_address():
    made = build("GET", "http://user:p%40ss@a.example/", DEFAULTS)

    assert made.url == "http://a.example/"
    assert made.header("authorization") == "Basic dXNlcjpwQHNz"


def test_what_comes_behind_the_last_at_sign_is_the_host():
    made = build("GET", "http://good.example@evil.example:81/", DEFAULTS)

    assert (made.host, made.port) == ("evil.example", 81)


@pytest.mark.parametrize(
    ("method", "headers", "said"),
    [
        ("GET", {"X-A": "1\r\nX-B: 2"}, "Illegal header value"),
        ("GET", {"X-A": "1\nX-B: 2"}, "Illegal header value"),
        ("GET", {"X-A": "1\rX-B: 2"}, "Illegal header value"),
        ("GET", {"X-A": "1\0"}, "Illegal header value"),
        ("GET", {"X-A": "Łódź"}, "Illegal header value"),
        ("GET", {"X A": "1"}, "Illegal header name"),
        ("GET", {"X-A:": "1"}, "Illegal header name"),
        ("GET", {"X-A: 1\r\nX-B": "2"}, "Illegal header name"),
        ("GET / HTTP/1.1\r\nX: y", {}, "Illegal"),
    ],
)
def test_nothing_is_smuggled_into_a_request(method, headers, said):
    made = build(method, "http://a.example/", DEFAULTS, headers=headers)

    with pytest.raises(RequestInvalid, match=said):
        made.written()
