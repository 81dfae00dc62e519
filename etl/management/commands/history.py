"""`manage.py history`: every state a row has had."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.histories import as_plain, as_text, model_named, write_into
from raw_store import commands
from raw_store.errors import ArchiveError
from reshape.errors import ReshapeError
from reshape.history import history

EXAMPLES = """
examples:
  manage.py history quakes.Quake us7000abcd       every state of one row
  manage.py history quakes.Quake us7000abcd --json
                                                  the same, an object a line
  manage.py history quakes.Quake --all --into quakes.parquet
                                                  every state of every row, in a new file
"""


class Command(commands.Command):
    help = (
        "Print every state a row has had: from when to when, what changed, and which payload "
        "said so first; or write all states of all rows into a file."
    )
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="a derived model, SOURCE.MODEL: quakes.Quake")
        parser.add_argument("key", nargs="*", help="the row's natural key, value by value")
        parser.add_argument("--all", action="store_true", help="the states of every row")
        parser.add_argument(
            "--into",
            type=Path,
            metavar="FILE",
            help="with --all: the new file to write, FILE.parquet or FILE.duckdb",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object per state")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["all"] != bool(options["into"]) or options["all"] == bool(options["key"]):
            raise CommandError("Give a key, or --all with --into FILE.")
        try:
            model = model_named(options["model"])
            if options["into"]:
                count = write_into(model, options["into"])
                said = {"file": str(options["into"]), "states": count}
                self.stdout.write(
                    json.dumps(said)
                    if options["json"]
                    else f"wrote {options['into']}: {count:,} states of {model._meta.label}"
                )
                return
            states = history(model, tuple(options["key"]))
        except (ReshapeError, ArchiveError, FileExistsError, FileNotFoundError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            for state in states:
                self.stdout.write(json.dumps(as_plain(state), default=str))
            return
        for line in as_text(model, options["key"], states):
            self.stdout.write(line)
