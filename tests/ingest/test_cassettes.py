"""Cassettes: a run as a readable file, and an extractor played against it."""

import asyncio
import io
import json

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.core.management.base import CommandError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest import auth, extractor, pagination, registry
from ingest.auth import oauth
from ingest.dry_run import dry_run
from ingest.errors import RequestUnknown
from ingest.runs import run_feed
from ingest.testing import CassetteTransport, extracted
from raw_store.errors import CassetteInvalid
from raw_store.interchange import cassette

from .conftest import FEED, QUICK
from .origin import response

TOKEN = "tk-9f31c2aa7be84d10"


@pytest.fixture
def recorded(origin, extract, tmp_path):
    """Run an extractor over the origin, and write its cassette."""

    async def record(function, **options):
        run = await extract(function, **options)
        path = tmp_path / "fixtures" / "cassette.json"
        await sync_to_async(call_command)("archive", "export-cassette", FEED, str(path))
        return run, path

    return record


def listing(origin):
    async def pages(client):
        by = pagination.cursor("next", parameter="cursor")
        async for _ in client.pages(origin.url("/list"), by=by):
            pass
        await client.post(origin.url("/search"), json={"q": "ä", "password": TOKEN})

    origin.answer("/list", response(b'{"next":"b"}', "Content-Type: application/json"))
    origin.answer(
        "/list?cursor=b",
        response(b"", status="503 Busy"),
        response(b'{"next": null, "name": "\xc3\xa4"}', "Set-Cookie: a=b9c0d1e2f3a4"),
    )
    origin.answer("/search", response(b"\xff\x00"))
    return pages


async def test_a_recorded_run_is_played_without_a_network_or_a_database(origin, recorded):
    run, path = await recorded(listing(origin))
    asked = len(origin.asked)

    payloads = await asyncio.to_thread(extracted, FEED, path)

    assert run.outcome == "complete", run.error
    assert [(each.status, each.body) for each in payloads] == [
        (200, b'{"next":"b"}'),
        (503, b""),
        (200, b'{"next": null, "name": "\xc3\xa4"}'),
        (200, b"\xff\x00"),
    ]
    assert len(origin.asked) == asked


async def test_a_cassette_can_be_read_and_holds_no_secret(origin, recorded):
    _, path = await recorded(listing(origin))
    text = path.read_text()
    first = json.loads(text)["exchanges"][0]

    assert first["request"] == {"method": "GET", "url": origin.url("/list")}
    assert first["response"]["body"] == {"json": {"next": "b"}, "style": "compact"}
    assert TOKEN not in text
    assert "b9c0d1e2f3a4" not in text


async def test_a_request_that_is_not_in_it_is_named_with_the_closest(origin, recorded):
    _, path = await recorded(listing(origin))

    registry._extractors.pop(FEED)

    @extractor(FEED)
    async def other(client):
        await client.get(origin.url("/lists"))

    with pytest.raises(RequestUnknown) as caught:
        await asyncio.to_thread(extracted, FEED, path)

    said = str(caught.value)
    assert said.startswith(f"GET {origin.url('/lists')} is not in the cassette {path}.")
    assert f"The closest of its 3 requests: {origin.url('/list')}, " in said
    assert "archive export-cassette" in said


async def test_a_confirmed_version_is_recorded_with_its_body(origin, recorded, extract):
    url = origin.answer(
        "/",
        response(b"<a>", 'ETag: "1"', "Content-Type: text/html"),
        response(b"", status="304 Not Modified"),
    )

    async def pages(client):
        await client.get(url)

    await extract(pages)
    _, path = await recorded(pages)
    (payload,) = await asyncio.to_thread(extracted, FEED, path)

    assert (payload.status, payload.body, payload.content_type) == (200, b"<a>", "text/html")


async def test_a_whole_run_is_played_with_other_credentials(origin, recorded, archive, monkeypatch):
    monkeypatch.setenv("ORCHARD_ID", "tree")
    monkeypatch.setenv("ORCHARD_SECRET", TOKEN)
    token = b'{"access_token": "at-1-6f0e1d2c3b4a5968", "token_type": "bearer"}'
    url = origin.answer("/page", response(b"apples"))
    credentials = auth.client_credentials(
        origin.answer("/token", response(token)),
        to=url,
        client_id="ORCHARD_ID",
        client_secret="ORCHARD_SECRET",
        style="body",
    )

    async def pages(client):
        await client.get(url)

    _, path = await recorded(pages, auth=credentials)
    monkeypatch.setenv("ORCHARD_SECRET", "another-one-5b0c77aa")
    # As in another process, which has no token yet.
    oauth._cells.clear()
    asked = len(origin.asked)
    run = await run_feed(FEED, archive, patience=QUICK, inner=CassetteTransport(FEED, path))

    assert run.outcome == "complete", run.error
    assert run.payload_count == 2
    assert len(origin.asked) == asked
    assert "at-1-6f0e1d2c3b4a5968" not in path.read_text()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not one: "),
        ('{"cassette": 9}', "it is of version 9"),
        ('{"cassette": 1, "feed": "a.b"}', "'exchanges' is missing"),
        (None, "cannot be read: No such file"),
    ],
    ids=["no JSON", "a version", "a part", "no file"],
)
def test_what_is_no_cassette_says_so_and_how_to_make_one(tmp_path, content, reason):
    path = tmp_path / "c.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(CassetteInvalid) as caught:
        cassette.read(path)

    assert reason in str(caught.value)
    assert "manage.py archive export-cassette FEED" in str(caught.value)


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.recursive(
            st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=9)),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
@example(b'{"name": "\\ud83d"}')
def test_any_body_comes_back_as_it_was(body):
    shown = json.loads(json.dumps(cassette._shown(body), ensure_ascii=False).encode())

    assert cassette._bytes(shown) == body


async def test_nothing_archived_is_told(extract, tmp_path):
    async def pages(client):
        pass

    await extract(pages)

    with pytest.raises(CommandError, match=r"Nothing of orchard\.pages is archived"):
        await sync_to_async(call_command)(
            "archive", "export-cassette", FEED, str(tmp_path / "x.json")
        )


@pytest.fixture
def say(declared, transactional_db, home):
    async def run(*arguments, **options):
        out = io.StringIO()
        await asyncio.to_thread(call_command, "extract", *arguments, stdout=out, **options)
        return out.getvalue()

    return run


async def test_a_dry_run_tells_requests_and_stops_where_an_answer_matters(origin, recorded, say):
    _, path = await recorded(listing(origin))
    asked = len(origin.asked)

    alone = await say(FEED, dry_run=True)
    played = await say(FEED, dry_run=True, cassette=path)
    archived = await say(FEED, dry_run=True, from_archive=True)

    first = origin.url("/list")
    assert alone.splitlines()[:2] == [f"{FEED}:", f"  GET {first} (not answered)"]
    assert f"What is asked next depends on the answer to GET {first}" in alone
    assert "--from-archive or --cassette FILE gives answers" in alone
    assert f"GET {first}?cursor=b (503 at hand)" in played
    assert "4 requests, to the extractor's end; nothing was sent and nothing kept" in played
    assert "3 requests, to the extractor's end" in archived
    assert TOKEN not in alone + played + archived
    assert len(origin.asked) == asked


async def test_a_dry_run_tells_all_that_depends_on_no_answer(declared, say):
    @extractor(FEED)
    async def pages(client):
        urls = (f"http://x.example/{number}" for number in range(3))
        async for _ in client.map(urls, concurrency=1):
            raise AssertionError("nobody answered")

    said = await say(FEED, dry_run=True)

    assert [line.strip() for line in said.splitlines()[1:4]] == [
        f"GET http://x.example/{number} (not answered)" for number in range(3)
    ]


async def test_a_dry_run_of_a_crawl_follows_what_answers_link_to(origin, recorded):
    origin.answer("/", response(b'<a href="/a">a</a>', "Content-Type: text/html"))
    origin.answer("/a", response(b'<a href="/">back</a>', "Content-Type: text/html"))

    async def pages(client):
        async for _ in client.crawl(origin.url("/")):
            pass

    _, path = await recorded(pages)
    payloads = await asyncio.to_thread(extracted, FEED, path)

    assert [payload.url for payload in payloads] == [origin.url("/"), origin.url("/a")]


async def test_a_dry_run_without_end_is_ended(declared, transactional_db):
    class Same:
        async def to(self, request):
            from ingest.answers import Answer

            return Answer(200, "OK", (), b"[1]")

    @extractor(FEED)
    async def pages(client):
        while True:
            await client.get("http://x.example/")

    done = await dry_run(FEED, Same(), most=7)

    assert len(done.requests) == 7
    assert "It ends after 7 requests" in str(done.stopped_by)


async def test_options_that_make_no_sense_are_refused(declared, say, tmp_path):
    @extractor(FEED)
    async def pages(client):
        raise ValueError("no")

    with pytest.raises(CommandError, match="add --dry-run"):
        await say(FEED, from_archive=True)
    with pytest.raises(CommandError, match="both say where"):
        await say(FEED, dry_run=True, from_archive=True, cassette=tmp_path)
    with pytest.raises(CommandError, match=r"1 extractor failed: orchard\.pages"):
        await say(FEED, dry_run=True)
