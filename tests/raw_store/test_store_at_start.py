"""What starts to extract tries the store first, and says why it will not."""

import pytest
from django.core.management import CommandError, call_command

from etl.asgi import application

REFUSED = "does not keep a promise that the archive rests on: a file can be made durable"


@pytest.fixture
def no_store(settings, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    settings.ARCHIVE_URL = str(tmp_path / "file" / "archive")


@pytest.mark.parametrize("arguments", [["farm"], ["--watch"]])
def test_extract_refuses_a_store_that_breaks_a_promise(no_store, db, arguments):
    with pytest.raises(CommandError, match=REFUSED):
        call_command("extract", *arguments, skip_checks=True)


async def test_the_server_does_not_start_its_schedule_on_a_store_that_breaks_a_promise(
    no_store, settings
):
    settings.SCHEDULER = True

    assert await answer_to_startup() == ("lifespan.startup.failed", REFUSED)


async def test_a_server_without_a_schedule_asks_nothing_of_the_store(no_store, settings):
    settings.SCHEDULER = False

    assert await answer_to_startup() == ("lifespan.startup.complete", "")


async def answer_to_startup() -> tuple[str, str]:
    """What the server answers to its start, and the promise it names, if any."""
    received = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
    sent = []

    async def receive():
        return received.pop()

    async def send(message) -> None:
        sent.append(message)

    await application({"type": "lifespan"}, receive, send)
    said = str(sent[0].get("message", ""))
    return sent[0]["type"], REFUSED if REFUSED in said else said
