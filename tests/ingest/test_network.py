"""How requests reach the network: kept connections, proxies, TLS, limits of time."""

import asyncio
import shutil
import socket
import ssl
import subprocess

import pytest
from asgiref.sync import sync_to_async

from ingest import FetchFailed, extractor
from ingest.errors import ExtractorInvalid

from .origin import Origin, response
from .proxy import ForwardProxy
from .wire.replies import sized
from .wire.server import Server, Then

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes certificates")


async def fetch(extract, url, **declaration):
    """Fetch an address once; what came, or the error."""
    seen = []

    async def pages(client):
        try:
            seen.append((await client.get(url)).content)
        except FetchFailed as error:
            seen.append(str(error))

    run = await extract(pages, **declaration)
    assert run.outcome == "complete", run.error
    return seen[0]


async def test_a_connection_closed_while_it_was_kept_is_no_failed_attempt(extract, payloads):
    # The second request goes out over a connection that the server resets as it reads it.
    server = await Server(((sized(b"one"),), (Then.RESET,), (sized(b"two"),))).start()
    seen = []

    async def pages(client):
        for _ in range(2):
            seen.append((await client.get(f"http://127.0.0.1:{server.port}/")).content)

    run = await extract(pages)
    rows = await sync_to_async(payloads)()
    await server.stop()

    assert run.outcome == "complete", run.error
    assert seen == [b"one", b"two"]
    assert server.connections == 2
    assert [(row.status, row.attempt) for row in rows] == [(200, 1), (200, 1)]


async def test_a_post_is_not_sent_twice_over_a_connection_that_died(extract, payloads):
    server = await Server(((sized(b"one"),), (Then.RESET,), (sized(b"two"),))).start()
    url = f"http://127.0.0.1:{server.port}/"

    async def pages(client):
        await client.get(url)
        await client.post(url, content=b"pay")

    await extract(pages)
    rows = await sync_to_async(payloads)()
    await server.stop()

    assert [(row.method, row.status, row.attempt) for row in rows] == [
        ("GET", 200, 1),
        ("POST", None, 1),
        ("POST", 200, 2),
    ]


async def test_a_proxy_is_asked_for_the_whole_address_and_its_password_is_kept_nowhere(
    origin, extract, payloads
):
    url = origin.answer("/page", response(b"{}"))

    async with ForwardProxy() as proxy:
        address = f"http://user:q8Zr2LwX7pT4vK1m@127.0.0.1:{proxy.port}"
        body = await fetch(extract, url, proxy=address)
    (row,) = await sync_to_async(payloads)()

    assert body == b"{}"
    assert proxy.asked[0].startswith(f"GET {url} HTTP/1.1\r\n")
    assert "\r\nProxy-Authorization: Basic dXNlcjpxOFpyMkx3WDdwVDR2SzFt\r\n" in proxy.asked[0]
    assert "proxy-authorization" not in {name.lower() for name, _ in row.request_headers}


async def test_the_environments_proxy_is_asked_where_the_feed_says_so(origin, extract, monkeypatch):
    url = origin.answer("/page", response(b"{}"))

    async with ForwardProxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        await fetch(extract, url)
        without = len(proxy.asked)
        await fetch(extract, url, proxy="environment")

    assert (without, len(proxy.asked)) == (0, 1)


async def test_a_socks_proxy_of_the_environment_is_not_spoken_to_in_http(
    origin, extract, monkeypatch
):
    async with ForwardProxy() as proxy:
        monkeypatch.delenv("http_proxy", raising=False)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("all_proxy", f"socks5h://me:s3cr3t-word@127.0.0.1:{proxy.port}")
        said = await fetch(extract, origin.url("/page"), proxy="environment")

    assert f'proxy="socks5h://127.0.0.1:{proxy.port}"' in said
    assert "s3cr3t" not in said
    assert proxy.asked == []


async def test_a_proxy_that_is_not_there_is_named_without_its_password(origin, extract):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    said = await fetch(extract, origin.url("/"), proxy=f"http://me:s3cr3t-word@127.0.0.1:{port}")

    assert f"proxy http://127.0.0.1:{port}: All connection attempts failed" in said
    assert "s3cr3t" not in said


async def test_a_private_address_is_refused_behind_a_proxy_too(extract, settings):
    settings.ALLOW_PRIVATE = []

    async with ForwardProxy() as proxy:
        said = await fetch(extract, "http://0x7f.1:9/", proxy=f"http://127.0.0.1:{proxy.port}")

    assert "127.0.0.1, which is loopback" in said
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("declared_as", "said"),
    [
        ({"proxy": "gopher://a"}, "proxy= is no proxy"),
        ({"proxy": "http://user:s3cr3t@"}, "proxy= is no proxy"),
        ({"verify": "/nowhere/ca.pem"}, "there is no file /nowhere/ca.pem"),
        ({"client_certificate": ("/nowhere/a.pem", "/nowhere/b.pem")}, "there is no file"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"total_timeout": -1}, "total_timeout"),
        ({"allow_private": "10.0.0.0/8"}, "allow_private= is a list"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_declared(declared, declared_as, said):
    with pytest.raises(ExtractorInvalid, match=said) as caught:
        extractor("orchard.pages", **declared_as)
    assert "s3cr3t" not in str(caught.value)


async def test_a_fetch_that_takes_longer_than_its_total_is_cut_off(origin, extract, payloads):
    async def trickle(asked, writer):
        writer.write(response(b"", length=1000))
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    url = origin.answer("/", trickle, response(b"{}"))

    await fetch(extract, url, total_timeout=0.3)
    slow, _ = await sync_to_async(payloads)()

    assert (slow.error, slow.truncated) == ("timeout: not finished after 0.3 s", "time")


async def test_a_body_that_comes_faster_than_it_is_kept_is_kept_whole(origin, extract, payloads):
    body = b"0123456789abcdef" * 500_000
    url = origin.answer("/", response(body))

    assert await fetch(extract, url) == body


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority's certificate, a server's for 127.0.0.1, and a client's."""
    folder = tmp_path_factory.mktemp("tls")

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    run(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Authority")
    for name, more in (
        ("server", "subjectAltName=IP:127.0.0.1"),
        ("client", "keyUsage=digitalSignature"),
    ):
        (folder / f"{name}.cnf").write_text(more)
        run(*new[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        files = ("-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", f"{name}.cnf")
        run("x509", "-req", *signed, *files)
    return folder


@pytest.fixture
async def tls_origin(certificates):
    """An origin that speaks TLS, and counts who showed a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    origin = Origin()
    shown = []

    async def serve(reader, writer):
        shown.append(bool(writer.get_extra_info("peercert")))
        await origin._serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    origin.port = server.sockets[0].getsockname()[1]
    origin.answer("/", response(b"over TLS"))
    yield f"https://127.0.0.1:{origin.port}/", shown
    server.close()
    for task in origin._tasks:
        task.cancel()


@needs_openssl
async def test_a_certificate_of_an_unknown_authority_is_refused(tls_origin, extract):
    url, _ = tls_origin

    said = await fetch(extract, url)

    assert "certificate verify failed" in said


@needs_openssl
@pytest.mark.parametrize("is_checked", [True, False])
async def test_an_authority_of_ones_own_or_none(tls_origin, certificates, extract, is_checked):
    url, shown = tls_origin
    verify = str(certificates / "ca.pem") if is_checked else False

    assert await fetch(extract, url, verify=verify) == b"over TLS"
    assert shown == [False]


@needs_openssl
async def test_a_clients_certificate_is_shown(tls_origin, certificates, extract):
    url, shown = tls_origin
    pair = (str(certificates / "client.pem"), str(certificates / "client.key"))

    await fetch(extract, url, verify=str(certificates / "ca.pem"), client_certificate=pair)

    assert shown == [True]


@needs_openssl
async def test_tls_goes_through_a_proxy_that_sees_nothing_of_it(tls_origin, certificates, extract):
    url, _ = tls_origin

    async with ForwardProxy() as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        body = await fetch(extract, url, proxy=address, verify=str(certificates / "ca.pem"))

    assert body == b"over TLS"
    assert [asked.split(" ")[0] for asked in proxy.asked] == ["CONNECT"]


async def test_a_proxy_that_refuses_to_connect_is_quoted(extract):
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"

    async with ForwardProxy(refusal) as proxy:
        said = await fetch(extract, "https://a.example/", proxy=f"http://127.0.0.1:{proxy.port}")

    assert "answered 407 Proxy Authentication Required to CONNECT" in said
