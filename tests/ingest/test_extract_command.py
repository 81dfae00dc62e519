"""`manage.py extract`: what it runs, says and exits with."""

import asyncio
import io
import os
import subprocess
import sys

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command

from ingest import extractor, registry
from ingest.display import ExtractProgress, as_size
from raw_store.models import Segment

from .conftest import FEED, SETTINGS
from .origin import response

pytestmark = pytest.mark.usefixtures("home", "declared", "transactional_db")


@pytest.fixture
def feeds(origin, declared):
    registry._extractors.clear()
    good = origin.answer("/good", response(b"x" * 2500))
    bad = origin.answer("/bad", response(b"", status="403 Forbidden"))

    @extractor(FEED, every="5m")
    async def pages(client):
        await client.get(good)

    @extractor("orchard.locked")
    async def locked(client):
        await client.get(bad)

    @extractor("vineyard.pages", cron="15 6 * * *")
    async def grapes(client):
        await client.get(good)


async def run(*arguments, **options):
    out, err = io.StringIO(), io.StringIO()
    failure = None
    try:
        await asyncio.to_thread(
            call_command, "extract", *arguments, stdout=out, stderr=err, verbosity=0, **options
        )
    except CommandError as error:
        failure = str(error)
    return out.getvalue(), err.getvalue(), failure


async def test_a_feed_is_extracted_and_summed_up(feeds):
    out, err, failure = await run(FEED)

    assert failure is None
    assert err == ""
    assert out.startswith("orchard.pages: complete, 1 payload, 2.5 kB, 0 failed fetches, ")


async def test_a_feed_that_fails_is_told_beside_its_neighbours(feeds, origin):
    out, err, failure = await run("orchard", "vineyard.pages")

    assert [line.split(",")[0] for line in out.splitlines()] == [
        "orchard.locked: failed",
        "orchard.pages: complete",
        "vineyard.pages: complete",
    ]
    assert f"orchard.locked: GET {origin.url('/bad')} answered 403 Forbidden" in err
    assert failure == "1 of 3 feeds failed: orchard.locked."
    assert await sync_to_async(Segment.objects.count)() == 3


async def test_without_names_every_feed_of_the_shard_is_extracted(feeds, settings):
    settings.SHARD = "1/1"
    everything, _, _ = await run()
    settings.SHARD = "1/2"
    first, _, _ = await run()
    settings.SHARD = "2/2"
    second, _, _ = await run()

    names = [
        sorted(line.split(":")[0] for line in out.splitlines())
        for out in (everything, first, second)
    ]
    assert names[0] == sorted(names[1] + names[2]) == ["orchard.locked", FEED, "vineyard.pages"]


async def test_unknown_names_are_answered_with_the_known_ones(feeds):
    _, _, feed = await run("orchard.page")
    _, _, source = await run("orchad")

    assert feed == (
        "No extractor knows the feed 'orchard.page'. Known feeds, closest first: "
        "orchard.pages, orchard.locked, vineyard.pages."
    )
    assert source == (
        "No extractor knows the source 'orchad'. Known sources, closest first: orchard, vineyard."
    )


async def test_the_list_shows_schedules_and_the_last_run(feeds):
    before, _, _ = await run("--list")
    await run(FEED)
    after, _, _ = await run("--list", "orchard")

    assert [line.split() for line in before.splitlines()] == [
        ["FEED", "SCHEDULE", "LAST", "RUN", "OUTCOME", "NEXT", "RUN"],
        ["orchard.locked", "by", "hand", "-", "-", "-"],
        ["orchard.pages", "every", "5m", "-", "-", "-"],
        ["vineyard.pages", "cron", "15", "6", "*", "*", "*", "-", "-", "-"],
    ]
    assert "complete" in after.splitlines()[2]
    assert "vineyard" not in after


async def test_a_bad_shard_is_told(feeds, settings):
    settings.SHARD = "3/2"

    _, _, failure = await run()

    assert failure == "SHARD='3/2' is not index/count; write 1/4, 2/4, 3/4 and 4/4 for four shards."


async def test_watch_takes_no_names(feeds):
    _, _, failure = await run(FEED, "--watch")

    assert failure == "--watch runs every feed that has a schedule; name none."


async def test_progress_counts_payloads_bytes_and_failures_per_feed(extract, origin):
    out = io.StringIO()
    progress = ExtractProgress(out=out)
    url = origin.answer("/", response(b"", status="500 No"), response(b"x" * 1500))

    async def pages(client):
        progress.archived((await client.get(url)).payload)

    await extract(pages)

    assert str(progress).startswith("extract: 1 payloads, ")
    assert str(progress).endswith(", 1.5 kB; orchard.pages 1")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (10**15, "1000.0 TB")],
)
def test_sizes_are_written_for_people(count, text):
    assert as_size(count) == text


async def test_a_feed_is_paused_and_resumed(feeds):
    paused, _, _ = await run(FEED, pause=True)
    listed, _, _ = await run(FEED, list=True)
    resumed, _, _ = await run(FEED, resume=True)
    _, _, failure = await run(pause=True)

    assert paused.startswith("orchard.pages: paused.")
    assert listed.splitlines()[1].endswith("paused")
    assert resumed.startswith("orchard.pages: next run 20")
    assert failure == "Name the feeds or sources that --pause or --resume is for."


def test_nothing_but_what_it_says_is_said_at_its_end(other_home):
    ended = subprocess.run(
        [sys.executable, "manage.py", "extract", "--list", f"--settings={SETTINGS}"],
        env=os.environ | {"ROOTCELLAR_TEST_HOME": str(other_home)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.startswith("FEED")
    assert ended.stderr == ""


@pytest.mark.parametrize("arguments", [["extract", "ticker.ticks"], ["archive", "list"]])
def test_a_database_that_was_not_migrated_is_told_of_in_one_line(tmp_path, arguments):
    ended = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=os.environ
        | {"ROOTCELLAR_TEST_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": SETTINGS},
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 1
    assert "Run `manage.py migrate`, then this again." in ended.stderr
    assert "Traceback" not in ended.stderr
