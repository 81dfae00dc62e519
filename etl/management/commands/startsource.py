"""`manage.py startsource NAME`: write a working, tested source to change into your own."""

import keyword
import re
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from raw_store import commands

TEMPLATE = Path(__file__).resolve().parents[2] / "source_template"
LONGEST_NAME = 30


class Command(commands.Command):
    help = "Write the skeleton of a new source: sources/NAME, and its test with a payload."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name", help="such as `weather`; it begins every feed, table and rollup of the source"
        )

    def handle(self, *, name: str, **options: Any) -> None:
        refuse_bad_name(name)
        root = Path(settings.BASE_DIR)
        folders = {"source": root / "sources" / name, "tests": root / "tests" / "sources" / name}
        for folder in folders.values():
            if folder.exists():
                raise CommandError(
                    f"{folder.relative_to(root)} is there already and stays as it is. "
                    "Choose another name, or remove that folder first."
                )
        written = [
            path for part, folder in folders.items() for path in _copy(part, folder, name)
        ] + _list_in_index(root / "docs" / "README.md", name)
        for path in written:
            self.stdout.write(f"  {path.relative_to(root)}")
        self.stdout.write(_NEXT_STEPS.format(name=name))


def refuse_bad_name(name: str) -> None:
    """Raise `CommandError` for a name that cannot be a folder, an app, a feed and a table."""
    if not re.fullmatch(r"[a-z](_?[a-z0-9])*", name) or len(name) > LONGEST_NAME:
        raise CommandError(
            f"{name!r} cannot name a source. A name is at most {LONGEST_NAME} characters: lower "
            "case letters and digits, a letter first, single underscores between words; "
            "for example river_levels."
        )
    if keyword.iskeyword(name):
        raise CommandError(f"{name!r} is a word of Python's own. Choose another name.")
    taken = {config.label for config in apps.get_app_configs()}
    if name in taken:
        raise CommandError(
            f"An app is called {name!r} already. Names in use: {', '.join(sorted(taken))}."
        )


def _copy(part: str, folder: Path, name: str) -> list[Path]:
    """Write one part of the template below `folder`, with the source's name filled in."""
    written = []
    for template in sorted((TEMPLATE / part).rglob("*")):
        if template.is_dir() or template.suffix == ".pyc":
            continue
        path = folder / _named(str(template.relative_to(TEMPLATE / part)), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_named(template.read_text(), name))
        written.append(path)
    return written


def _named(text: str, name: str) -> str:
    camel = "".join(word.capitalize() for word in name.split("_"))
    return text.replace("source_name", name).replace("SourceName", camel)


def _list_in_index(index: Path, name: str) -> list[Path]:
    """Add the source to the documentation's index, behind the sources listed there."""
    text = index.read_text() if index.exists() else ""
    listed = list(re.finditer(r"^- \[\w+\]\(\.\./sources/.*\n", text, re.M))
    if not listed:
        return []
    end = listed[-1].end()
    line = f"- [{name}](../sources/{name}/README.md): what it publishes, in half a sentence.\n"
    index.write_text(text[:end] + line + text[end:])
    return [index]


_NEXT_STEPS = """
The source {name} works as it is, on the payload beside its test. To make it yours:

  1. Say what to request in sources/{name}/extract.py, and what comes back
     in models.py, transform.py and rollups/ beside it.
  2. rm sources/{name}/migrations/0001_initial.py   # of the models you replaced
     python manage.py makemigrations {name}
     python manage.py migrate
  3. python manage.py extract {name}
  4. Ask: python manage.py sql, or /graphql once `make serve` runs.

docs/add-a-source.md goes through it with an example.
Its test: make test ARGS=tests/sources/{name}
"""
