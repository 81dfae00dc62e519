"""`manage.py archive`: look at the archive, prove it whole, keep it small, exchange it."""

import argparse
from typing import Any

from django.core.management.base import CommandError, CommandParser

from raw_store import commands
from raw_store.actions import (
    Action,
    Terminal,
    care,
    cassettes,
    compacting,
    erasing,
    history,
    imports,
    interchange,
    listing,
    retention,
    statistics,
    store,
)
from raw_store.archive import Archive
from raw_store.errors import ArchiveError

ACTIONS: list[Action] = [
    *listing.ACTIONS,
    *statistics.ACTIONS,
    *history.ACTIONS,
    *care.ACTIONS,
    *compacting.ACTIONS,
    *erasing.ACTIONS,
    *retention.ACTIONS,
    *imports.ACTIONS,
    *store.ACTIONS,
    *interchange.ACTIONS,
    *cassettes.ACTIONS,
]


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples' lines as they are written."""


class Command(commands.Command):
    help = "Look at the archive, prove it whole, keep it small, and exchange it with others."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for action in ACTIONS:
            action.add_arguments(
                actions.add_parser(
                    action.name,
                    help=action.summary,
                    description=action.summary,
                    epilog=action.examples,
                    formatter_class=_Help,
                )
            )

    def handle(self, *args: Any, **options: Any) -> None:
        terminal = Terminal(self.stdout, self.stderr, quiet=options["verbosity"] == 0)
        (action,) = (each for each in ACTIONS if each.name == options["action"])
        try:
            action.run(Archive(), options, terminal)
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(
                f"The system refused a file: {error}. What was acknowledged stays. Look at the "
                "free space and the permissions of the home folder, then run the command again."
            ) from error
