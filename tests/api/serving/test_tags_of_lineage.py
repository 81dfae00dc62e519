"""Entity tags of answers that tell where rows come from: that may change where no row does."""

import json

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from reshape.models import SourceState
from warehouse.models import RollupTable

PAYLOAD = "{ authors { name payload { transform } } }"
BUILD = "{ quakesDaily { build { builtAt } } }"


def load(transform, computed_at):
    """What a replay notes that changes no row."""
    SourceState.objects.update_or_create(
        source="sample",
        defaults={"fingerprints": {"sample.books": transform}, "replayed_at": timezone.now()},
    )
    RollupTable.objects.update_or_create(
        table="quakes_daily", defaults={"computed_at": computed_at}
    )


@pytest.mark.parametrize("question", [PAYLOAD, BUILD])
async def test_what_rows_come_from_is_part_of_the_tag(door, question):
    body, at = json.dumps({"query": question}).encode(), timezone.now()
    await sync_to_async(load)("a1", at)
    first = await door.ask(body)
    held = (b"if-none-match", first.headers[b"etag"])
    unchanged = await door.ask(body, held)

    await sync_to_async(load)("b2", timezone.now())
    # PostgreSQL is asked a few times a second only.
    door.door.close()
    changed = await door.ask(body, held)

    assert (unchanged.status, changed.status) == (304, 200)
    assert changed.headers[b"etag"] != first.headers[b"etag"]


async def test_rows_alone_keep_their_tag(door):
    body = json.dumps({"query": "{ authors { name } }"}).encode()
    await sync_to_async(load)("a1", timezone.now())
    first = await door.ask(body)

    await sync_to_async(load)("b2", timezone.now())
    second = await door.ask(body, (b"if-none-match", first.headers[b"etag"]))

    assert second.status == 304
