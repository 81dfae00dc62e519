"""Exports: every row of a flat list, as CSV, JSON lines, Arrow or Parquet."""

import asyncio
import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.api.garden.models import Plant
from tests.sample.models import Author

from .exchange import HEADERS, Exchange, scope_of

CSV = (b"accept", b"text/csv")
NDJSON = (b"accept", b"application/x-ndjson")
ARROW = (b"accept", b"application/vnd.apache.arrow.stream")
PARQUET = (b"accept", b"application/vnd.apache.parquet")
AUTHORS = json.dumps({"query": "{ authors { id: code name mentorId } }"}).encode()
COUNT = 1_501


@pytest.fixture
def many(author):
    Author.objects.bulk_create(
        Author(code=f"c{n:04}", name=f"name, {n}", mentor_id="a", fetch_id="0" * 32)
        for n in range(COUNT - 1)
    )


async def test_csv_holds_every_row(door, many):
    found = await door.ask(AUTHORS, CSV)

    rows = list(csv.reader(io.StringIO(found.body.decode())))
    assert rows[0] == ["id", "name", "mentorId"]
    assert rows[1] == ["a", "Ada", ""]
    assert rows[-1] == ["c1499", "name, 1499", "a"]
    assert len(rows) == COUNT + 1
    assert found.headers[b"content-disposition"] == b'attachment; filename="authors.csv"'


async def test_every_form_holds_the_same(door, many):
    lines = (await door.ask(AUTHORS, NDJSON)).body.splitlines()
    expected = [json.loads(line) for line in lines]
    arrow = pa.ipc.open_stream((await door.ask(AUTHORS, ARROW)).body).read_all()
    parquet = pq.read_table(pa.BufferReader((await door.ask(AUTHORS, PARQUET)).body))

    assert len(expected) == COUNT
    assert arrow.to_pylist() == parquet.to_pylist() == expected


async def test_a_page_that_is_asked_for_is_all_that_is_exported(door, many):
    page = json.dumps({"query": "{ authors(pagination: {limit: 2, offset: 1}) { code } }"}).encode()

    found = await door.ask(page, CSV)

    assert found.body.split() == [b"code", b"c0000", b"c0001"]


async def test_filters_and_orders_hold(door, many):
    text = '{ authors(filters: {code: {startsWith: "c00"}}, order: [{code: DESC}]) { code } }'

    found = await door.ask(json.dumps({"query": text}).encode(), CSV)

    assert found.body.split()[1::99] == [b"c0099", b"c0000"]


async def test_no_row_is_no_row(door):
    body = json.dumps({"query": "{ authors(filters: {code: {inList: []}}) { code } }"}).encode()

    texts = [(await door.ask(body, form)).body for form in (CSV, NDJSON)]
    arrow = pa.ipc.open_stream((await door.ask(body, ARROW)).body).read_all()

    assert texts == [b"code\r\n", b""]
    assert (arrow.num_rows, arrow.column_names) == (0, ["code"])


PLANTS = json.dumps(
    {
        "query": "{ plants { number name plantedOn wateredAt isEdible heightM seedCount serial "
        "notes leafScan } }"
    }
).encode()


@pytest.fixture
def plants(author):
    Plant.objects.create(
        number=2**53 + 1,
        name="Kale",
        planted_on="2026-03-01",
        watered_at="2026-03-02T06:30:00Z",
        is_edible=True,
        height_m=0.4,
        seed_count=2**40,
        serial="00000000-0000-0000-0000-000000000001",
        notes={"big": [1]},
        leaf_scan=b"\x00\xff",
        fetch_id="0" * 32,
    )
    Plant.objects.create(number=3, name="Aloe", fetch_id="0" * 32)


async def test_columns_have_types(door, plants):
    table = pa.ipc.open_stream((await door.ask(PLANTS, ARROW)).body).read_all()

    aloe, kale = table.to_pylist()
    assert {field.name: str(field.type) for field in table.schema} == {
        "number": "int64",
        "name": "string",
        "plantedOn": "date32[day]",
        "wateredAt": "timestamp[us, tz=UTC]",
        "isEdible": "bool",
        "heightM": "double",
        "seedCount": "int64",
        "serial": "string",
        "notes": "string",
        "leafScan": "binary",
    }
    assert kale["number"] == 2**53 + 1
    assert str(kale["wateredAt"]) == "2026-03-02 06:30:00+00:00"
    assert (kale["serial"], kale["leafScan"]) == (
        "00000000-0000-0000-0000-000000000001", b"\x00\xff",
    )  # fmt: skip
    assert json.loads(kale["notes"]) == {"big": [1]}
    assert aloe["wateredAt"] is aloe["isEdible"] is aloe["notes"] is None


DOCUMENTS = [{"digest": "ab5e100", "big": 2**70}, "5e100", "five", "5", 5, True, [1.5, None], {}]


@pytest.fixture
def documents(author):
    Plant.objects.bulk_create(
        Plant(number=number, name="Kale", notes=document, fetch_id="0" * 32)
        for number, document in enumerate(DOCUMENTS)
    )


async def test_json_is_json_in_every_form(door, documents):
    question = json.dumps({"query": "{ plants { notes } }"}).encode()

    answer = (await door.ask(question)).json["data"]["plants"]
    lines = (await door.ask(question, NDJSON)).body.splitlines()
    table = csv.DictReader(io.StringIO((await door.ask(question, CSV)).body.decode()))
    arrow = pa.ipc.open_stream((await door.ask(question, ARROW)).body).read_all()

    assert [row["notes"] for row in answer] == DOCUMENTS
    assert [json.loads(line)["notes"] for line in lines] == DOCUMENTS
    assert [json.loads(row["notes"]) for row in table] == DOCUMENTS
    assert [json.loads(text) for text in arrow["notes"].to_pylist()] == DOCUMENTS


async def test_text_shows_values_as_graphql_does(door, plants):
    answer = (await door.ask(PLANTS)).json["data"]["plants"]

    lines = (await door.ask(PLANTS, NDJSON)).body.splitlines()
    table = csv.DictReader(io.StringIO((await door.ask(PLANTS, CSV)).body.decode()))

    kale = list(table)[1]
    assert [json.loads(line) for line in lines] == answer
    assert (kale["wateredAt"], kale["isEdible"]) == (answer[1]["wateredAt"], "true")
    assert (kale["leafScan"], json.loads(kale["notes"])) == (
        answer[1]["leafScan"], answer[1]["notes"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "{ authorsCount }",
        "{ authors { code } books { code } }",
        "{ authors { code mentor { code } } }",
        '{ author(code: "a") { code } }',
        "{ feeds { name } }",
    ],
)
async def test_what_is_not_flat_is_refused(door, text):
    found = await door.ask(json.dumps({"query": text}).encode(), CSV)

    assert found.status == 406
    assert "export" in found.json["errors"][0]["message"]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"query": "{ a: authors { code } b: authors { code } }"}, "these are 2 fields"),
        (
            {"query": "query ($n: Int!) { authors(pagination: {limit: $n}) { code } }"},
            "$n",
        ),
        ({"query": "query A { authors { code } }", "operationName": "Z"}, "is not named"),
    ],
)
async def test_why_it_is_not_flat_is_told(door, question, words):
    found = await door.ask(json.dumps(question).encode(), CSV)

    assert found.status == 406
    assert words in found.json["errors"][0]["message"]


async def test_a_filter_beyond_what_the_database_takes_is_told(door, caplog):
    filters = {"OR": [{"name": {"exact": f"{n}"}} for n in range(1_500)]}
    text = "query ($f: AuthorFilter) { authors(filters: $f) { code } }"
    body = json.dumps({"query": text, "variables": {"f": filters}}).encode()

    found = await door.ask(body, CSV)

    # PostgreSQL takes it.
    assert found.body == b"code\r\n" or "A filter is larger" in found.json["errors"][0]["message"]
    assert not caplog.records


async def test_what_is_not_valid_is_told_as_ever(door):
    found = await door.ask(b'{"query": "{ nothing }"}', CSV)

    assert "Cannot query field" in found.json["errors"][0]["message"]


@pytest.mark.parametrize(
    ("accepted", "kind"),
    [
        (b"application/json, text/csv;q=0.5", b"application/json"),
        (b"text/csv, application/json;q=0.9", b"text/csv"),
        (b"*/*", b"application/json"),
    ],
)
async def test_what_is_preferred_is_sent(door, accepted, kind):
    found = await door.ask(AUTHORS, (b"accept", accepted))

    assert found.headers[b"content-type"] == kind


async def test_an_export_that_is_held_is_not_sent_again(door):
    answer, first = await door.ask(AUTHORS), await door.ask(AUTHORS, CSV)

    held = await door.ask(AUTHORS, CSV, (b"if-none-match", first.headers[b"etag"]))
    other = await door.ask(AUTHORS, CSV, (b"if-none-match", answer.headers[b"etag"]))

    assert (held.status, other.status) == (304, 200)


async def test_an_export_has_a_time_limit(door, many, settings):
    settings.EXPORT_TIME_LIMIT = 0

    found = await door.ask(AUTHORS, CSV)

    assert "longer than 0 seconds" in found.json["errors"][0]["message"]


class Slow(Exchange):
    """A client that takes the first part, and then leaves or sleeps."""

    def __init__(self, body, *, leaves):
        super().__init__(body)
        self.leaves = leaves
        self.left = asyncio.Event()

    async def receive(self):
        if self.waiting:
            return self.waiting.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        await super().send(message)
        if message["type"] == "http.response.body":
            if self.leaves:
                self.left.set()
            await asyncio.sleep(30)


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_client_that_takes_nothing_more_ends_its_export(door, many, settings, leaves):
    settings.EXPORT_TIME_LIMIT = 600 if leaves else 0.3
    client = Slow(AUTHORS, leaves=leaves)

    await asyncio.wait_for(
        door.door(scope_of([*HEADERS, CSV]), client.receive, client.send), timeout=20
    )

    # What has no end is seen to be cut off.
    assert [message.get("more_body") for message in client.sent] == [None, True]
