"""`manage.py demo`: the whole walk on the bundled farm, told as it happens, then served."""

import contextlib
import io
import json
import logging
import socket
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.db.models import Sum

from etl.demo.days import NO_BREAK, SOURCE, DemoFailed, pass_day, reached
from etl.demo.edit import edited
from etl.demo.questions import GRAPHQL, ask_graphql, questions
from raw_store import commands
from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from raw_store.models import Segment
from reshape.errors import ReshapeError
from reshape.models import derived_models
from sources.farm.models import Item
from sources.farm.origin import Origin
from sources.farm.origin.world import date_of
from warehouse.errors import WarehouseError
from warehouse.reader import connect, reading
from warehouse.render import write_answer
from warehouse.rollups import rollup_model, rollups

WIDTH = 98
LABEL_WIDTH = 14
EDITED_MODULE = "sources.farm.transform"
EDIT = (
    'base_value=_coins(article, ".worth"),',
    'base_value=_coins(article, ".worth") + _coins(article, ".toll"),',
)


class Command(commands.Command):
    help = (
        "Play some days of the bundled farm: extract, archive, replay, roll up; show what a "
        "changed transform would change; ask GraphQL and SQL; then serve. Run again, it goes on "
        "with the following days."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="do not serve; end with JSON")
        parser.add_argument("--days", type=int, default=6, help="simulated days to play")
        parser.add_argument("--port", type=int, default=8000, help="where to serve")

    def handle(self, *, once: bool, days: int, port: int, **options: Any) -> None:
        if days < 1:
            raise CommandError(f"--days takes a number from 1; got {days}.")
        try:
            with _listening(None if once else port) as listener:
                is_right = self._play(days, listener)
        except (DemoFailed, ArchiveError, ReshapeError, WarehouseError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError(
                "Stopped. What was fetched is archived; the next demo goes on from there."
            ) from None
        if once:
            self.stdout.write(json.dumps({**_totals(), "graphql_ok": is_right}))
        if not is_right:
            raise CommandError("The GraphQL answer differs from the tables; see above.")

    def _play(self, days: int, listener: socket.socket | None) -> bool:
        """Tell the whole story; return whether the GraphQL answer was right."""
        call_command("migrate", verbosity=0)
        archive = Archive()
        start = reached(archive)
        with _origin(start.port) as origin:
            self._introduce(origin, start.next_day)
            self._pass_days(origin, archive, range(start.next_day, start.next_day + days))
            self._show_edit()
            is_right = self._ask()
            if listener is not None:
                self._serve(listener, origin)
        return is_right

    def _introduce(self, origin: Origin, next_day: int) -> None:
        self.stdout.write("Rootcellar: keep every response, re-derive everything.")
        self._paragraph(
            "Dapplefen is a small farm that exists only here. Its site, an almanac in HTML, a "
            f"notice board in JSON and a market sheet in XML, is served on {origin.url} and "
            "changes from one simulated day to the next. Each day the feeds are extracted, every "
            "response is archived as it came, rows are derived from the archive, and rollups from "
            "the rows."
        )
        if next_day:
            self._paragraph(
                f"The archive in {settings.ROOTCELLAR_HOME} holds the days up to day "
                f"{next_day - 1}; here are the following ones."
            )

    def _pass_days(self, origin: Origin, archive: Archive, days: range) -> None:
        with _quiet_runs():
            for day in days:
                self._heading(f"Day {day}, {date_of(day):%A %-d %B %Y}")
                pass_day(origin, day, archive, self._tell)

    def _show_edit(self) -> None:
        self._heading("A changed transform: see first what it would change")
        self._paragraph(
            "Suppose an item's value should include the market toll. Every page that said so is in "
            "the archive, so the change can be tried on all of history. In "
            "sources/farm/transform.py:"
        )
        before = _values()
        with edited(EDITED_MODULE, *EDIT) as lines:
            for line in lines:
                self.stdout.write(f"  {line[0]} {line[1:].strip()}")
            self.stdout.write("\n$ manage.py replay farm --diff")
            # It ends with 1 where something would change.
            with contextlib.suppress(SystemExit):
                call_command("replay", SOURCE, "--diff", verbosity=0, stdout=self.stdout)
        if _values() != before:
            raise DemoFailed("The diff changed live rows, which it must never do.")
        self._paragraph(
            "No page was requested and no row was touched. `manage.py replay farm` would load it."
        )

    def _ask(self) -> bool:
        self._heading("One question to GraphQL: linked rows and numbers together")
        self._paragraph(
            "What does a quest ask for, where is each thing cheapest, does the quest pay, and "
            "which response says so?"
        )
        answered = ask_graphql()
        self.stdout.write(f"\n{GRAPHQL}\n\n$quest = {answered.quest!r}\n")
        self.stdout.write(_compact(answered.data))
        self._heading("Anything else: SQL, while everything runs")
        with connect() as connection:
            for about, sql in questions().items():
                self._paragraph(about)
                self.stdout.write(f"\n{sql}\n")
                table = io.StringIO()
                with reading(connection, sql) as answer:
                    write_answer(answer, table, "table")
                self.stdout.write(f"{table.getvalue()}\n")
        return answered.is_right

    def _serve(self, listener: socket.socket, origin: Origin) -> None:
        host, port = listener.getsockname()[:2]
        self._heading("Serving; Ctrl-C stops")
        for label, text in (
            ("GraphQL", f"http://{host}:{port}/graphql"),
            (
                "The farm",
                f"{origin.url}/  (next day: curl -d '{{\"advance\": 1}}' {origin.url}/clock)",
            ),
            ("Extract", f"FARM_ORIGIN_URL={origin.url} python manage.py extract farm"),
            ("SQL", "python manage.py sql"),
        ):
            self.stdout.write(f"  {label:<{LABEL_WIDTH}}{text}")
        self.stdout.flush()
        # The other sources live on the network; the demo stays off it.
        settings.SCHEDULER = False
        config = uvicorn.Config("etl.asgi:application", lifespan="on", log_level="warning")
        # uvicorn answers what is under way, then raises the Ctrl-C that stopped it.
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
        self.stdout.write("Stopped. `make demo` goes on with the following days.")

    def _heading(self, text: str) -> None:
        self.stdout.write("\n" + self.style.MIGRATE_HEADING(text))
        self.stdout.flush()

    def _paragraph(self, text: str) -> None:
        self.stdout.write("\n" + textwrap.fill(text, WIDTH))

    def _tell(self, label: str, text: str) -> None:
        first = f"  {label:<{LABEL_WIDTH}}"
        told = textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
        self.stdout.write(told.replace(NO_BREAK, " "))


@contextmanager
def _listening(port: int | None) -> Iterator[socket.socket | None]:
    """A socket on loopback for the server, taken before anything else; None where none is asked."""
    if port is None:
        yield None
        return
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            # From here on whoever asks too early waits for the server, and is not refused.
            listener.listen()
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"Port {port} cannot be used: {error}. Give another --port, or --once to not serve."
            ) from None
        yield listener


@contextmanager
def _origin(port: int) -> Iterator[Origin]:
    try:
        origin = Origin(port=port)
    except OSError as error:
        # Elsewhere the same pages would have other addresses: to the archive, other pages.
        raise CommandError(
            f"The archived farm is at http://127.0.0.1:{port}, which cannot be used: "
            f"{error.strerror}. Stop what listens there, or begin anew in another ROOTCELLAR_HOME."
        ) from None
    with origin:
        yield origin


@contextmanager
def _quiet_runs() -> Iterator[None]:
    """Keep the planned failures out of the log: the story tells them."""
    logger = logging.getLogger("ingest.runs")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _values() -> list[tuple[str, int]]:
    return list(Item.objects.order_by("slug").values_list("slug", "base_value"))


def _compact(value: Any, indent: str = "") -> str:
    """JSON that breaks lines only where a part does not fit on one."""
    on_one_line = json.dumps(value, ensure_ascii=False)
    if len(indent + on_one_line) <= WIDTH - 12 or not isinstance(value, dict | list):
        return on_one_line
    deeper = indent + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_compact(part, deeper)}" for key, part in value.items()]
    else:
        parts = [_compact(part, deeper) for part in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    listed = f",\n{deeper}".join(parts)
    return f"{opening}\n{deeper}{listed}\n{indent}{closing}"


def _totals() -> dict[str, int]:
    """What is archived and derived by now."""
    made = [rollup_model(rollup.name) for rollup in rollups(SOURCE)]
    return {
        "payloads": Segment.objects.aggregate(total=Sum("row_count"))["total"] or 0,
        "rows": sum(model._default_manager.count() for model in derived_models(SOURCE)),
        "rollups": sum(model._default_manager.count() for model in made),
    }
