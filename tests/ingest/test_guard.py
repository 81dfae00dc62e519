"""What the guard lets pass: the public internet, and what was opened; however it is spelled."""

import ipaddress

import pytest
from asgiref.sync import sync_to_async

from ingest import AddressRefused, extractor
from ingest.errors import ExtractorInvalid
from ingest.wire.errors import ConnectFailed, Refused
from ingest.wire.guard import Guard, Opening, kind_of

from .origin import response

PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.167.255.255", "100.128.0.1", "2606:4700::1111",
          "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2001:4860:4860::8888"]  # fmt: skip
NOT_PUBLIC = ["0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.1.1",
              "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.1.1", "192.0.0.192",
              "168.63.129.16", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
              "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
              "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::",
              "2002:808:808::1", "2001::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
              "fec0::1", "ff02::1", "2001:db8::1"]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_public_internet_passes(text):
    assert kind_of(ipaddress.ip_address(text)) is None


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_an_address_of_no_public_network_is_refused_with_its_kind(text):
    assert kind_of(ipaddress.ip_address(text))


def test_whatever_python_calls_not_global_is_refused():
    for text in [*PUBLIC, *NOT_PUBLIC, *(f"{first}.0.0.1" for first in range(256))]:
        address = ipaddress.ip_address(text)
        # NAT64 carries addresses of version 4, also private ones; Python looks at the prefix alone.
        if not (address.is_global or text in PUBLIC):
            assert kind_of(address), text


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "::1"],
)
async def test_loopback_is_refused_however_it_is_spelled(host):
    with pytest.raises(Refused, match="loopback"):
        await Guard().addresses(host, 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "sub.localhost", "::1"])
def test_what_a_proxy_would_resolve_is_judged_as_far_as_it_can_be(host):
    with pytest.raises(Refused, match="loopback"):
        Guard().check_literal(host, 80)


@pytest.mark.parametrize(
    ("opening", "host", "port", "is_open"),
    [
        ("127.0.0.0/8", "127.0.0.1", 80, True),
        ("127.0.0.0/8", "localhost", 80, True),
        ("127.0.0.1:8000", "127.0.0.1", 8000, True),
        ("127.0.0.1:8000", "127.0.0.1", 8001, False),
        ("localhost", "localhost", 80, True),
        ("LOCALHOST:80", "localhost", 81, False),
        ("[::1]:80", "::1", 80, True),
        ("::1", "::1", 80, True),
        ("127.0.0.0/8", "::ffff:127.0.0.1", 80, True),
        ("10.0.0.0/8", "127.0.0.1", 80, False),
        ("other.example", "localhost", 80, False),
    ],
)
async def test_what_was_opened_passes_and_nothing_beside_it(opening, host, port, is_open):
    guard = Guard([Opening.parse(opening)])

    try:
        found = bool(await guard.addresses(host, port))
    except Refused:
        found = False

    assert found == is_open


def test_the_name_of_a_host_opens_no_metadata_service():
    opening = Opening.parse("intranet.example")
    metadata = ipaddress.ip_address("169.254.169.254")

    assert opening.covers("intranet.example", 80, ipaddress.ip_address("10.0.0.1"))
    assert not opening.covers("intranet.example", 80, metadata)
    assert Opening.parse("169.254.169.254").covers("any", 80, metadata)


async def test_a_name_that_nobody_knows_is_no_refusal():
    with pytest.raises(ConnectFailed, match=r"nowhere\.invalid could not be resolved"):
        await Guard().addresses("nowhere.invalid", 80)


@pytest.mark.parametrize("text", ["", "10.0.0.0/99", "a b", "host:port", "http://host/", "host:0"])
def test_an_opening_that_opens_nothing_is_refused_where_it_is_declared(text, declared):
    with pytest.raises(ExtractorInvalid, match=r"Feed orchard\.pages: "):
        extractor("orchard.pages", allow_private=[text])


async def test_a_request_to_the_loopback_is_refused_archived_and_not_repeated(
    origin, extract, payloads, settings
):
    settings.ALLOW_PRIVATE = []
    url = origin.answer("/", response(b"{}"))

    async def pages(client):
        with pytest.raises(AddressRefused, match="is loopback") as caught:
            await client.get(url)
        assert "allow_private=" in str(caught.value)

    run = await extract(pages)
    (row,) = await sync_to_async(payloads)()

    assert run.outcome == "complete", run.error
    assert origin.asked == []
    assert row.error.startswith("refused: 127.0.0.1 is loopback")
    assert (row.status, row.attempt) == (None, 1)


async def test_a_feed_opens_what_it_means(origin, extract, settings):
    settings.ALLOW_PRIVATE = []
    url = origin.answer("/", response(b"{}"))

    async def pages(client):
        await client.get(url)

    run = await extract(pages, allow_private=[f"127.0.0.1:{origin.port}"])

    assert run.outcome == "complete", run.error


async def test_a_setting_that_opens_nothing_fails_the_run_and_says_so(extract, settings):
    settings.ALLOW_PRIVATE = ["10.0.0.0/99"]

    async def pages(client):
        pass

    run = await extract(pages)

    assert run.error.startswith("ALLOW_PRIVATE: '10.0.0.0/99' opens nothing")
