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


class LongCommand(Command):
    """A command that may work for hours."""

    def run_from_argv(self, argv: list[str]) -> None:
        """Begin, from a command line."""
        settle_in()
        super().run_from_argv(argv)


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
