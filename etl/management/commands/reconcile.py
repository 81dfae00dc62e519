"""`manage.py reconcile`: prove that the tables are what the archive says."""

import json
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.reconciling import Reconciled, as_plain, as_text, forget_copies, reconcile
from etl.walk import refresh
from raw_store import commands
from raw_store.errors import ArchiveError
from reshape.errors import ReshapeError
from reshape.registry import all_transforms
from reshape.replay import known_transforms
from warehouse.errors import WarehouseError

EXAMPLES = """
examples:
  manage.py reconcile                             every source
  manage.py reconcile quakes                      one of them
  manage.py reconcile quakes --repair             mend what differs
"""


class Command(commands.Command):
    help = (
        "Compare every table with what the archive and the transforms say, and with its columnar "
        "copy; name every difference. Exit code 0: none; 1: some; 2: an error."
    )
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="*", help="sources to compare; all of them if none")
        parser.add_argument(
            "--repair",
            action="store_true",
            help="load what differs, write the copies anew, and compare once more",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object per source")

    def execute(self, *args: Any, **options: Any) -> str | None:
        with commands.failures_end_with_2():
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        sources = options["source"] or sorted({found.source for found in all_transforms()})
        try:
            for source in sources:
                known_transforms(source)
            remaining = sum(self._reconcile(source, options) for source in sources)
        except (ReshapeError, ArchiveError, WarehouseError) as error:
            raise CommandError(str(error)) from error
        if remaining:
            sys.exit(1)

    def _reconcile(self, source: str, options: dict[str, Any]) -> int:
        """Compare one source, repair it if asked to; return how many problems are left."""
        found = reconcile(source, progress=options["verbosity"] > 0)
        self._show(found, options)
        if not (options["repair"] and found.problem_count):
            return found.problem_count
        forget_copies(found)
        refresh(source, trust_copies=False)
        left = reconcile(source)
        if options["json"]:
            self._show(left, options)
        elif left.problem_count:
            self.stdout.write(f"{source}: repaired in part; what is left:")
            self._show(left, options)
        else:
            self.stdout.write(f"{source}: repaired; nothing differs any more")
        return left.problem_count

    def _show(self, found: Reconciled, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(as_plain(found), default=str))
            return
        for line in as_text(found):
            self.stdout.write(line)
        if found.problem_count and not options["repair"]:
            self.stdout.write(
                f"  `manage.py reconcile {found.source} --repair` loads the difference"
            )
