"""What is followed, which links a page has, and what sitemaps list."""

import gzip

import httpx
import pytest

from ingest.errors import ExtractorFailed
from ingest.frontier import sitemaps
from ingest.frontier.links import page_links
from ingest.frontier.scope import Scope, absolute

START = ["https://wiki.example/docs/intro"]


class Page(httpx.Response):
    def __init__(self, html, url="https://wiki.example/docs/intro", kind="text/html"):
        super().__init__(
            200,
            headers={"Content-Type": kind},
            text=html,
            request=httpx.Request("GET", url),
        )


def links(html, **options):
    return list(page_links(Page(html, **options)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "held", "left"),
    [
        (
            {},
            ["https://wiki.example/x"],
            ["https://wiki.example:8443/", "https://a.example/", "http://xn--i-7iq.ws/"],
        ),
        (
            {"within": "prefix"},
            ["https://wiki.example/docs/a/b"],
            ["https://wiki.example/blog", "https://wiki.example.evil/docs/"],
        ),
        ({"within": "anywhere"}, ["http://a.example/"], []),
        ({"allow": ["/docs/"]}, ["https://wiki.example/docs/"], ["https://wiki.example/"]),
        (
            {"deny": [r"\?", r"/private/"]},
            ["https://wiki.example/a"],
            ["https://wiki.example/a?b", "https://wiki.example/private/c"],
        ),
        ({"depth": 2}, [], []),
    ],
    ids=["host", "prefix", "anywhere", "allow", "deny", "depth"],
)
def test_a_scope_holds_what_is_meant(options, held, left):
    scope = Scope.of(START, **options)

    assert [url for url in held if not scope.holds(url, 2)] == []
    assert [url for url in left if scope.holds(url)] == []
    assert scope.holds("https://wiki.example/docs/", 3) is ("depth" not in options)
    assert not scope.holds("https://wiki.example/docs/" + "a" * 5000)


@pytest.mark.parametrize(
    "options",
    [{"within": "domain"}, {"allow": "/docs/"}, {"deny": ["("]}],
    ids=["within", "a text", "no expression"],
)
def test_a_scope_that_cannot_be_meant_is_refused(options):
    with pytest.raises(ExtractorFailed):
        Scope.of(START, **options)


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("../b?x=1#top", "https://wiki.example/b?x=1"),
        ("//a.example/c", "https://a.example/c"),
        ("https://user:pass@a.example/", "https://a.example/"),
        (" d ", "https://wiki.example/docs/d"),
        ("/a/\n\tb", "https://wiki.example/a/b"),
        ("mailto:a@b.example", None),
        ("javascript:void(0)", None),
        ("https://a.example:port/", None),
        ("https://a.example:99999/", None),
        # i❤.ws, which is in use, and which IDNA of 2008 does not decode.
        ("http://xn--i-7iq.ws/", "http://xn--i-7iq.ws/"),
    ],
)
def test_a_link_is_an_address_that_is_asked_for_or_none(link, address):
    assert absolute(httpx.URL(START[0]), link) == address


def test_the_links_of_a_page_are_those_a_visitor_may_follow():
    html = """<base href="/en/"><a href="a">1</a><a href=a#b>2</a><area href="/c">
              <a rel="nofollow noopener" href="d">3</a><a href="tel:1">4</a><a>5</a>"""

    assert links(html) == ["https://wiki.example/en/a", "https://wiki.example/c"]
    assert links(html + '<meta name="Robots" content="noindex, NOFOLLOW">') == []
    assert links(html, kind="application/pdf") == []
    assert links("<div>" * 30_000 + '<a href="/a">') == []


def sitemap(*lines, root="urlset"):
    inner = "".join(lines)
    return f'<{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{inner}</{root}>'.encode()


def test_a_sitemap_lists_addresses_with_their_priority():
    body = sitemap(
        "<url><loc> https://a.example/1 </loc><priority>1.0</priority></url>",
        "<url><loc>https://a.example/2?a=1&amp;b=2</loc><lastmod>2026-01-01</lastmod></url>",
        "<url><priority>nonsense</priority><loc>https://a.example/3</loc></url>",
    )

    found = [(each.url, each.priority) for each in sitemaps.entries(body, "x")]
    packed = [each.url for each in sitemaps.entries(gzip.compress(body), "x")]

    assert found == [
        ("https://a.example/1", 5),
        ("https://a.example/2?a=1&b=2", 0),
        ("https://a.example/3", 0),
    ]
    assert packed == [url for url, _ in found]


def test_an_index_lists_sitemaps_and_a_text_lists_addresses():
    index = sitemap("<sitemap><loc>https://a.example/s.xml.gz</loc></sitemap>", root="sitemapindex")
    text = "\ufeffhttps://a.example/1\r\n\nnot an address\nhttps://a.example/2".encode()

    assert list(sitemaps.entries(index, "x")) == [
        sitemaps.Entry("https://a.example/s.xml.gz", is_sitemap=True)
    ]
    assert [each.url for each in sitemaps.entries(text, "x")] == [
        "https://a.example/1",
        "https://a.example/2",
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"<urlset><url><loc>https://a.example/",
        gzip.compress(b"<urlset/>")[:-9],
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><urlset>&e;',
    ],
    ids=["cut off", "packed and cut off", "an entity"],
)
def test_a_sitemap_that_is_none_is_named(body):
    with pytest.raises(ExtractorFailed, match=r"Sitemap https://a\.example/s\.xml "):
        list(sitemaps.entries(body, "https://a.example/s.xml"))


def test_a_sitemap_that_swells_is_refused(monkeypatch):
    monkeypatch.setattr(sitemaps, "LARGEST", 1_000)

    with pytest.raises(ExtractorFailed, match="larger than 1,000 bytes"):
        list(sitemaps.entries(gzip.compress(b" " * 5_000), "x"))


def test_robots_txt_names_sitemaps():
    text = "User-agent: *\nDisallow: /\nSITEMAP: https://a.example/s.xml # here\nSitemap:\n"

    assert list(sitemaps.named_in_robots(text)) == ["https://a.example/s.xml"]
