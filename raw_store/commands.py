"""What the commands have in common: which checks they wait for."""

from django.core.checks import Tags
from django.core.management.base import BaseCommand

OWN_CHECKS = "rootcellar"
"""The tag of the checks of stages and sources, which every command waits for."""


class Command(BaseCommand):
    """A command that starts at once: what serves HTTP is neither loaded nor checked.

    `manage.py check`, and whatever makes migrations or serves, checks everything.
    """

    requires_system_checks = [Tags.models, OWN_CHECKS]
