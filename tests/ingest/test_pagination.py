"""From page to page: where the next one is said to be, when a listing ends, and circles."""

import json

import httpx
import pytest

from ingest import PagesInCircle, pagination
from ingest.pagination import links

from .origin import response


def page(value, *headers):
    return response(json.dumps(value).encode(), "Content-Type: application/json", *headers)


@pytest.fixture
def listing(origin, extract):
    """Walk from `/list` by a way; return the run and the JSON of the pages."""

    async def walk(by, path="/list", **options):
        seen = []

        async def pages(client):
            async for each in client.pages(origin.url(path), by=by, **options):
                seen.append(each.json())

        return await extract(pages), seen

    return walk


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<http://x/2>; rel="next"', "http://x/2"),
        ("<?page=2>; rel=next", "http://x/list?page=2"),
        ('</a,b;c>; title="a, <b>; rel=\\"prev\\""; rel="last NEXT"', "http://x/a,b;c"),
        ('</0>; rel="prev", </2>; rel="next"', "http://x/2"),
        ('</0>; rel="prev"; rel="next"', None),
        ('</2>; rel="next"; anchor="/other"', None),
        ('</2>; rel="next"; anchor="#top"', "http://x/2"),
        ('nonsense, </2>; rel="next"', None),
        ("", None),
    ],
)
def test_a_link_header_is_read_as_the_rfc_says(header, target):
    assert links.linked([header], "next", "http://x/list?page=1") == target


def test_links_of_several_headers_are_one_list():
    assert links.linked(["</0>; rel=prev", "</2>; rel=next"], "next", "http://x/") == "http://x/2"


async def test_the_next_address_stands_in_the_body(origin, listing):
    origin.answer("/list", page({"links": {"next": "/b"}}))
    origin.answer("/b", page({"links": {"next": {"href": "/c"}}}))
    origin.answer("/c", page({"links": {}}))

    run, seen = await listing(pagination.next_url("links.next"))

    assert run.outcome == "complete", run.error
    assert len(seen) == 3


async def test_a_cursor_goes_from_the_body_into_a_parameter(origin, listing):
    origin.answer("/list?limit=2", page({"meta": {"next": "a b&c"}}))
    origin.answer("/list?limit=2&cursor=a+b%26c", page({"meta": {"next": None}}))

    run, seen = await listing(
        pagination.cursor("meta.next", parameter="cursor"), params={"limit": 2}
    )

    assert run.outcome == "complete", run.error
    assert len(seen) == 2


async def test_a_cursor_goes_from_a_header_into_a_header(origin, listing):
    origin.answer("/list", page([1], "X-Next: k2"), page([2]))

    await listing(pagination.cursor(at_header="X-Next", header="X-From"))

    assert [asked.header("x-from") for asked in origin.asked] == [None, "k2"]


async def test_a_cursor_goes_into_a_json_body(origin, listing):
    origin.answer("/list", page({"page": {"end": "e1"}}), page({"page": {"end": None}}))

    await listing(
        pagination.cursor("page.end", field="variables.after"),
        method="POST",
        json={"query": "{…}", "variables": {"first": 2}},
    )

    assert [json.loads(asked.body)["variables"] for asked in origin.asked] == [
        {"first": 2},
        {"first": 2, "after": "e1"},
    ]


async def test_the_last_items_key_is_the_cursor_while_there_is_more(origin, listing):
    origin.answer("/list", page({"data": [{"id": 1}, {"id": 2}], "has_more": True}))
    origin.answer("/list?after=2", page({"data": [{"id": 3}], "has_more": False}))

    run, seen = await listing(pagination.cursor("data.-1.id", parameter="after", more="has_more"))

    assert run.outcome == "complete", run.error
    assert len(seen) == 2


async def test_a_place_that_is_not_there_is_named_with_what_is(origin, listing):
    origin.answer("/list", page({"data": [], "paging": {}}))

    run, _ = await listing(pagination.cursor("meta.next", parameter="cursor"))

    assert "has nothing at 'meta.next': there is an object with data, paging" in run.error
    assert "archive show" in run.error


async def test_a_page_that_is_no_json_is_named(origin, extract):
    url = origin.answer("/list", response(b"<html>"))

    async def pages(client):
        async for _ in client.pages(url, by=pagination.next_url("next")):
            pass

    run = await extract(pages)

    assert f"Page {url} is not JSON" in run.error


def numbered(origin, pages):
    for number, value in enumerate(pages, 1):
        origin.answer(f"/list?page={number}", page(value))


async def test_numbered_pages_end_with_an_empty_one(origin, listing):
    numbered(origin, [[1, 2], [3], []])

    run, seen = await listing(pagination.page_number())

    assert run.outcome == "complete", run.error
    assert seen == [[1, 2], [3], []]


async def test_numbered_pages_end_with_a_short_one(origin, listing):
    origin.answer("/list?page=0&per_page=2", page({"rows": [1, 2]}))
    origin.answer("/list?page=1&per_page=2", page({"rows": [3]}))

    by = pagination.page_number(first=0, size=2, size_parameter="per_page", items="rows")
    run, seen = await listing(by)

    assert run.outcome == "complete", run.error
    assert len(origin.asked) == len(seen) == 2


@pytest.mark.parametrize(
    ("by", "value"),
    [
        (pagination.page_number(pages="pages", items="rows"), {"rows": [1, 2], "pages": 3}),
        (pagination.page_number(size=2, total="total", items="rows"), {"rows": [1, 2], "total": 6}),
        (pagination.page_number(total="total", items="rows"), {"rows": [1, 2], "total": "5"}),
    ],
    ids=["pages", "total and size", "total"],
)
async def test_numbered_pages_end_with_the_number_that_is_told(origin, listing, by, value):
    numbered(origin, [{**value, "number": number} for number in range(9)])

    run, seen = await listing(by)

    assert run.outcome == "complete", run.error
    assert len(origin.asked) == len(seen) == 3


async def test_offsets_end_with_the_total_of_a_header(origin, listing):
    for start in (0, 2, 4):
        origin.answer(f"/list?offset={start}&limit=2", page([start, start + 1], "X-Total: 4"))

    _, seen = await listing(pagination.offset(size=2, total="header:X-Total"))

    assert seen == [[0, 1], [2, 3]]


async def test_numbered_pages_end_where_there_is_none_and_where_the_last_is_given_again(
    origin, listing
):
    numbered(origin, [[1], [2]])
    _, until_not_found = await listing(pagination.page_number())
    numbered(origin, [[1], [2], [2]])
    _, until_again = await listing(pagination.page_number())

    assert until_not_found == until_again == [[1], [2]]


async def test_an_object_whose_items_nobody_names_is_refused(origin, listing):
    numbered(origin, [{"rows": []}])

    run, _ = await listing(pagination.page_number())

    assert 'Name their place: items="results"' in run.error


async def test_most_ends_a_walk(origin, listing):
    numbered(origin, [[number] for number in range(1, 9)])

    run, seen = await listing(pagination.page_number(), most=3)

    assert run.outcome == "complete", run.error
    assert seen == [[1], [2], [3]]
    assert len(origin.asked) == 3


async def test_ever_new_cursors_to_the_same_page_are_a_circle(origin, extract):
    async def answer(asked, writer):
        turn = int(asked.target.rpartition("=")[2]) if "=" in asked.target else 0
        writer.write(page([], f"X-Next: {turn + 1}"))

    url = origin.answer("/list", answer)

    async def pages(client):
        with pytest.raises(PagesInCircle, match="the listing does not go on"):
            async for _ in client.pages(
                url, by=pagination.cursor(at_header="X-Next", parameter="from")
            ):
                pass

    run = await extract(pages)

    assert run.outcome == "complete", run.error
    assert len(origin.asked) == 10


async def test_a_next_page_elsewhere_is_asked_for_without_the_secrets(origin, extract):
    elsewhere = origin.url("/b").replace("127.0.0.1", "localhost")
    url = origin.answer("/a", page({"next": elsewhere}))
    origin.answer("/b", page({"next": None}))

    async def pages(client):
        headers = {"X-Api-Key": "k3yk3yk3yk3y", "Authorization": "Bearer t", "X-Kind": "all"}
        async for _ in client.pages(url, by=pagination.next_url("next"), headers=headers):
            pass

    run = await extract(pages, allow_private=["localhost", "127.0.0.0/8"])
    shown, bare = origin.asked

    assert run.outcome == "complete", run.error
    assert shown.header("x-api-key") == "k3yk3yk3yk3y"
    assert (bare.header("x-api-key"), bare.header("authorization")) == (None, None)
    assert bare.header("x-kind") == "all"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"at": "a"},
        {"at": "a", "at_header": "b", "parameter": "c"},
        {"at": "a", "parameter": "b", "field": "c"},
    ],
    ids=["nothing", "not how it is sent", "two places", "two ways"],
)
def test_a_cursor_that_cannot_work_is_refused(given):
    with pytest.raises(ValueError, match=r"cursor\(…\) takes"):
        pagination.cursor(**given)


def test_a_page_of_no_items_is_refused():
    with pytest.raises(ValueError, match="above zero"):
        pagination.offset(size=0)


def test_a_request_is_the_same_whatever_the_order_of_its_fields():
    one = pagination.Asked.of("http://x/", {"a": 1}, json={"b": 1, "c": 2})
    other = pagination.Asked.of("http://x/?a=1", json={"c": 2, "b": 1})

    assert one.digest == other.digest != one.with_parameters(a=2).digest
    assert httpx.URL(one.with_parameters(a=2).url).params["a"] == "2"


def test_parameters_of_the_extractor_are_sent_as_it_wrote_them():
    asked = pagination.Asked(
        url="https://a.example/?$filter=a%20eq%201&page=1&flag&page=9&fields=id,name"
    )

    following = asked.with_parameters(page=2, cursor="a b&c")

    assert following.url == (
        "https://a.example/?$filter=a%20eq%201&page=2&flag&fields=id,name&cursor=a+b%26c"
    )
    assert pagination.Asked(url="https://a.example/").with_parameters(a=2).url[-5:] == "/?a=2"
