"""`--help` of every command: its examples are commands that it takes."""

import shlex

import pytest
from django.core.management import get_commands, load_command_class

from raw_store.commands import Command


def own_commands():
    for name, app in sorted(get_commands().items()):
        if isinstance(app, str) and not app.startswith("django."):
            command = load_command_class(app, name)
            if isinstance(command, Command):
                yield name, command


def examples():
    for name, command in own_commands():
        for line in command.examples.splitlines():
            # What an example does follows it after two blanks; so may a redirection.
            words = line.strip().partition("  ")[0].partition(" > ")[0]
            if words.startswith("manage.py "):
                yield pytest.param(name, command, shlex.split(words)[1:], id=words)


@pytest.mark.parametrize(("name", "command", "words"), list(examples()))
def test_an_example_is_taken(name, command, words):
    assert words[0] == name

    command.create_parser("manage.py", name).parse_args(words[1:])


def test_every_argument_is_explained():
    unexplained = [
        f"{name} {action.dest}"
        for name, command in own_commands()
        for action in command.create_parser("manage.py", name)._actions
        if not action.help and action.dest not in {"action"}
    ]

    assert unexplained == []
