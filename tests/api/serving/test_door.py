"""The door: entity tags, questions in addresses, documents by their digest, compression."""

import gzip
import hashlib
import json
from urllib.parse import urlencode

import brotli
import pytest
import zstandard
from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from api.access import tokens
from api.measuring import MAX_CHARACTERS
from reshape.models import SourceState
from tests.sample.models import Author

from .exchange import QUESTION, asked

DIGEST = hashlib.sha256(QUESTION.encode()).hexdigest()
PERSISTED = {"persistedQuery": {"version": 1, "sha256Hash": DIGEST}}


def load(source="sample"):
    """What a load that changed something notes, in one transaction."""
    with transaction.atomic():
        _note(source)


def _note(source):
    state, _ = SourceState.objects.get_or_create(
        source=source, defaults={"replayed_at": timezone.now()}
    )
    state.data_version += 1
    state.save()


async def test_what_the_client_holds_is_not_sent_again(door):
    first = await door.ask(asked())

    second = await door.ask(asked(), (b"if-none-match", first.headers[b"etag"]))

    assert not first.headers[b"etag"].startswith(b"W/")
    assert (second.status, second.body) == (304, b"")
    assert second.headers[b"etag"] == first.headers[b"etag"]


async def test_what_the_client_holds_is_not_read_either(door):
    first = await door.ask(asked())
    await sync_to_async(Author._base_manager.all().delete)()

    second = await door.ask(asked(), (b"if-none-match", first.headers[b"etag"]))

    # No load said so: that the rows are gone is only seen by whoever reads them.
    assert second.status == 304


async def test_a_load_makes_another_tag(door):
    first = await door.ask(asked())
    await sync_to_async(load)()

    second = await door.ask(asked(), (b"if-none-match", first.headers[b"etag"]))

    assert (second.status, second.headers[b"etag"] != first.headers[b"etag"]) == (200, True)


async def test_a_load_of_another_source_does_not(door):
    first = await door.ask(asked())
    await sync_to_async(load)("quakes")

    second = await door.ask(asked(), (b"if-none-match", first.headers[b"etag"]))

    assert second.status == 304


@pytest.mark.parametrize(
    "other",
    [
        asked(variables={"code": "b"}),
        asked(query=QUESTION + " "),
        asked(query=QUESTION + " query Other { authorsCount }", operationName="Names"),
    ],
)
async def test_another_question_has_another_tag(door, other):
    first = await door.ask(asked())

    second = await door.ask(other, (b"if-none-match", first.headers[b"etag"]))

    assert second.status == 200


async def test_another_role_has_another_tag(door):
    secret = await sync_to_async(tokens.make_token)("chief", scopes=["admin"])
    first = await door.ask(asked())

    second = await door.ask(
        asked(),
        (b"if-none-match", first.headers[b"etag"]),
        (b"authorization", f"Bearer {secret}".encode()),
    )

    assert second.status == 200


async def test_what_no_table_tells_is_tagged_by_what_was_answered(door):
    body = json.dumps({"query": "{ feedsCount }"}).encode()
    first = await door.ask(body)

    second = await door.ask(body, (b"if-none-match", first.headers[b"etag"]))

    assert (second.status, second.body) == (304, b"")


async def test_an_error_has_no_tag(door):
    found = await door.ask(asked(variables={"code": 1}))

    assert found.json["errors"]
    assert b"etag" not in found.headers


@pytest.mark.parametrize(
    ("held", "status"), [(b"*", 304), (b'"x", %s', 304), (b"W/%s", 304), (b'"x"', 200), (b"", 200)]
)
async def test_tags_are_compared_as_http_says(door, held, status):
    first = await door.ask(asked())
    held = held.replace(b"%s", first.headers[b"etag"])

    assert (await door.ask(asked(), (b"if-none-match", held))).status == status


async def test_a_question_comes_in_an_address(door):
    query = urlencode({"query": QUESTION, "variables": '{"code": "a"}', "operationName": "Names"})

    found = await door.get(query.encode())

    assert (door.django_asked, found.json["data"]["author"]["name"]) == (0, "Ada")


async def test_an_address_and_a_body_that_ask_the_same_have_one_tag(door):
    query = urlencode({"query": QUESTION, "variables": '{ "code" :"a" }'}).encode()
    posted = await door.ask(asked())

    found = await door.get(query, (b"if-none-match", posted.headers[b"etag"]))

    assert found.status == 304


@pytest.mark.parametrize(
    "query", [b"x=1", b"query=%FF%FE", b"query=\xff", b"query=", b"variables={"]
)
async def test_an_address_without_a_question_is_refused_here(door, query):
    found = await door.get(query)

    assert (found.status, door.django_asked) == (400, 0)


async def test_nothing_but_queries_is_asked(door):
    for text in ("mutation { x }", "subscription { x }"):
        found = await door.get(urlencode({"query": text}).encode())
        assert "data" not in found.json or found.json["data"] is None


async def test_a_document_that_is_introduced_is_known_by_its_digest(door):
    unknown = await door.ask(asked(query=None, extensions=PERSISTED))
    introduced = await door.ask(asked(extensions=PERSISTED))
    known = await door.ask(asked(query=None, extensions=PERSISTED))

    (error,) = unknown.json["errors"]
    assert error["message"] == "PersistedQueryNotFound"
    assert error["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert introduced.body == known.body
    assert known.json["data"]["author"]["name"] == "Ada"


async def test_a_digest_in_an_address_is_enough(door):
    await door.ask(asked(extensions=PERSISTED))
    query = urlencode({"variables": '{"code": "a"}', "extensions": json.dumps(PERSISTED)})

    found = await door.get(query.encode())

    assert found.json["data"]["author"]["name"] == "Ada"


@pytest.mark.parametrize(
    "named", [{"version": 2, "sha256Hash": DIGEST}, {"version": 1}, {"version": 1, "sha256Hash": 1}]
)
async def test_what_is_no_digest_is_refused(door, named):
    found = await door.ask(asked(extensions={"persistedQuery": named}))

    assert "version 1 and a sha256Hash" in found.json["errors"][0]["message"]


async def test_a_digest_of_another_document_is_refused(door):
    found = await door.ask(asked(query="{ authorsCount }", extensions=PERSISTED))

    assert "not the SHA-256" in found.json["errors"][0]["message"]


@pytest.fixture
def trusted(settings, tmp_path):
    (tmp_path / "names.graphql").write_text(QUESTION + "\n")
    settings.GRAPHQL_DOCUMENTS = str(tmp_path)


async def test_a_trusted_document_is_known_from_the_start(door, trusted):
    found = await door.ask(asked(query=None, extensions=PERSISTED))

    assert found.json["data"]["author"]["name"] == "Ada"


async def test_where_only_trusted_documents_are_answered_others_are_not(door, trusted, settings):
    settings.GRAPHQL_PERSISTED_ONLY = True
    other = "{ authorsCount }"
    digest = hashlib.sha256(other.encode()).hexdigest()
    introduced = {"persistedQuery": {"version": 1, "sha256Hash": digest}}

    answers = [
        await door.ask(asked(query=other)),
        await door.ask(asked(query=other, extensions=introduced)),
        await door.ask(asked(query=None, extensions=introduced)),
        await door.get(urlencode({"query": other}).encode()),
        await door.get(b"query=" + other.encode() + b"\xff"),
    ]

    assert door.django_asked == 0
    assert all(answer.json["data"] is None for answer in answers)


async def test_where_only_trusted_documents_are_answered_they_are(door, trusted, settings):
    settings.GRAPHQL_PERSISTED_ONLY = True

    by_text, by_digest = (
        await door.ask(asked()),
        await door.ask(asked(query=None, extensions=PERSISTED)),
    )

    assert by_text.json == by_digest.json == {"data": {"author": {"name": "Ada", "mentor": None}}}


@pytest.fixture
def many(author):
    Author.objects.bulk_create(
        Author(code=f"c{n:03}", name="The same name again", fetch_id="0" * 32) for n in range(99)
    )


MANY = json.dumps({"query": "{ authors { code name } }"}).encode()


@pytest.mark.parametrize(
    ("accepted", "encoding", "read"),
    [
        (b"gzip", b"gzip", gzip.decompress),
        (b"br", b"br", brotli.decompress),
        (b"gzip;q=0.5, zstd", b"zstd", lambda body: zstandard.ZstdDecompressor().decompress(body)),
        (b"gzip, deflate, br", b"br", brotli.decompress),
        (b"*", b"zstd", lambda body: zstandard.ZstdDecompressor().decompress(body)),
        (b"br;q=0, gzip;q=0.1, identity;q=0", b"gzip", gzip.decompress),
    ],
)
async def test_a_large_answer_is_compressed_as_the_client_reads(
    door, many, accepted, encoding, read
):
    plain = await door.ask(MANY)
    found = await door.ask(MANY, (b"accept-encoding", accepted))

    assert found.headers[b"content-encoding"] == encoding
    assert read(found.body) == plain.body
    assert b"Accept-Encoding" in plain.headers[b"vary"]
    assert b"Accept-Encoding" in found.headers[b"vary"]
    assert found.headers[b"etag"] != plain.headers[b"etag"]


@pytest.mark.parametrize("accepted", [b"", b"identity", b"deflate", b"gzip;q=0", b"gzip;q=x"])
async def test_what_the_client_does_not_read_is_not_sent(door, many, accepted):
    found = await door.ask(MANY, (b"accept-encoding", accepted))

    assert b"content-encoding" not in found.headers


async def test_a_compressed_answer_that_is_held_is_not_sent_again(door, many):
    first = await door.ask(MANY, (b"accept-encoding", b"br"))

    held = (b"if-none-match", first.headers[b"etag"])
    second = await door.ask(MANY, held, (b"accept-encoding", b"br"))

    assert (second.status, second.headers[b"etag"]) == (304, first.headers[b"etag"])


async def test_a_small_answer_is_sent_as_it_is(door):
    found = await door.ask(asked(), (b"accept-encoding", b"gzip"))

    assert b"content-encoding" not in found.headers


async def test_a_question_too_large_is_refused(door):
    found = await door.ask(b" " * 1_000_001)

    assert (found.status, door.django_asked) == (413, 0)


async def test_a_document_too_large_is_refused(door):
    found = await door.ask(asked(query="#" * (MAX_CHARACTERS + 1)))

    assert "at most 200000 characters" in found.json["errors"][0]["message"]
