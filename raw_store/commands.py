"""What the commands have in common: which checks they wait for, and how a long one begins."""

import sys
import traceback
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from .long_lived import settle_in

OWN_CHECKS = "rootcellar"
"""The tag of the checks of stages and sources, which every command waits for."""


class Command(BaseCommand):
    """A command that starts at once: what serves HTTP is neither loaded nor checked.

    `manage.py check`, and whatever makes migrations or serves, checks everything.
    """

    requires_system_checks = [Tags.models, OWN_CHECKS]
    examples = ""
    """What `--help` ends with, as it is written."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self.examples:
            parser.formatter_class = RawDescriptionHelpFormatter
            parser.epilog = self.examples
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Do it; a database that was not migrated is told of in one line."""
        try:
            return super().execute(*args, **options)
        except (DatabaseError, BaseExceptionGroup) as error:
            if _is_of_the_database(error) and _lacks_migrations():
                raise CommandError(
                    "The database lacks migrations of this version. Run `manage.py migrate`, then "
                    "this again."
                ) from error
            raise


class LongCommand(Command):
    """A command that may work for hours."""

    def run_from_argv(self, argv: list[str]) -> None:
        """Begin, from a command line."""
        settle_in()
        super().run_from_argv(argv)


def _is_of_the_database(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_is_of_the_database(each) for each in error.exceptions)
    return isinstance(error, DatabaseError)


def _lacks_migrations() -> bool:
    # Not at the top: a command begins without it.
    from django.db.migrations.executor import MigrationExecutor

    try:
        executor = MigrationExecutor(connection)
        return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except DatabaseError:
        return False


@contextmanager
def failures_end_with_2() -> Iterator[None]:
    """For a command that says something else with 1, whatever goes wrong, checks included."""
    try:
        yield
    except CommandError as error:
        if error.returncode == 1:
            error.returncode = 2
        raise
    except Exception:
        traceback.print_exc()
        sys.exit(2)


def moment(text: str) -> datetime:
    """An argument that is a time: ISO 8601, in UTC unless it says otherwise.

    Raises `ArgumentTypeError`.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is no time; write it as 2026-01-31 or 2026-01-31T18:00:00"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
