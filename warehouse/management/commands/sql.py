"""`manage.py sql`: ask the warehouse anything, at a prompt or in one line."""

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from raw_store import commands
from warehouse.answers import write_answers
from warehouse.errors import WarehouseError
from warehouse.places import is_elsewhere
from warehouse.prompt import Prompt
from warehouse.publish import current_build
from warehouse.reader import connect
from warehouse.render import FORMATS, Format

EXAMPLES = """
examples:
  manage.py sql                                   a prompt; .help tells more
  manage.py sql -c "SELECT count(*) FROM quakes_quake"
  manage.py sql -c "FROM quakes_quake" --format csv > quakes.csv
  manage.py sql -f report.sql --timeout 60
"""


class Command(commands.Command):
    help = (
        "Ask the warehouse in SQL: the rollups, the models, and the archive as `archive` and "
        "`payloads`. Without -c or -f it opens a prompt, or reads statements from standard input."
    )
    examples = EXAMPLES
    # The data can be read while a rollup's file is wrong.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        where = parser.add_mutually_exclusive_group()
        where.add_argument("-c", "--command", metavar="SQL", help="run SQL and leave")
        where.add_argument("-f", "--file", type=Path, help="run the statements of a file and leave")
        parser.add_argument(
            "--format", choices=FORMATS, default="table", help="of the rows (default: table)"
        )
        parser.add_argument(
            "--rows",
            type=int,
            default=1000,
            help="shown of a table (default: 1000); CSV and JSON have all",
        )
        parser.add_argument(
            "--timeout", type=float, metavar="S", help="seconds a statement may run"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        sql = self._given(options)
        if is_elsewhere():
            self.stderr.write(
                "The published build was made in another folder, where the models and the archive "
                "were read from: run `manage.py build_rollups` to make one here."
            )
        try:
            if sql is None:
                prompt = Prompt(sys.stdout, row_limit=options["rows"], seconds=options["timeout"])
                prompt.run(settings.ROOTCELLAR_HOME / "sql_history")
            else:
                self._run(sql, options["format"], options["rows"], options["timeout"])
        except WarehouseError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped.") from None
        except BrokenPipeError:
            # Whoever read the rows has enough; nothing more can be written, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _given(self, options: dict[str, Any]) -> str | None:
        if options["command"] is not None:
            return str(options["command"])
        if options["file"] is not None:
            try:
                return str(options["file"].read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"{options['file']} cannot be read: {error}") from None
        return None if sys.stdin.isatty() else sys.stdin.read()

    def _run(self, sql: str, form: Format, rows: int, seconds: float | None) -> None:
        if current_build() is None:
            self.stderr.write(
                "Nothing is published yet, so the tables are empty: run `manage.py replay` first."
            )
        with connect() as connection:
            write_answers(connection, sql, sys.stdout, form, row_limit=rows, seconds=seconds)
