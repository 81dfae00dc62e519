"""What the commands have in common: which checks they wait for, and how a long one begins."""

from django.core.checks import Tags
from django.core.management.base import BaseCommand

from .long_lived import settle_in

OWN_CHECKS = "rootcellar"
"""The tag of the checks of stages and sources, which every command waits for."""


class Command(BaseCommand):
    """A command that starts at once: what serves HTTP is neither loaded nor checked.

    `manage.py check`, and whatever makes migrations or serves, checks everything.
    """

    requires_system_checks = [Tags.models, OWN_CHECKS]


class LongCommand(Command):
    """A command that may work for hours."""

    def run_from_argv(self, argv: list[str]) -> None:
        """Begin, from a command line."""
        settle_in()
        super().run_from_argv(argv)
