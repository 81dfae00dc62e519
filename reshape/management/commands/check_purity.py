"""`manage.py check_purity`: would the transforms say the same tomorrow?"""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from raw_store import commands
from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from reshape.errors import ReshapeError
from reshape.purity_check import SAMPLE, check_purity, first_of_each, sample
from reshape.registry import all_transforms
from reshape.replay import known_transforms


class Command(commands.Command):
    help = (
        "Run transforms twice over some archived payloads, in two processes that differ in clock, "
        "time zone, locale and hash seed, and name every field that differs. Changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="*", help="sources to check; all of them if none")
        parser.add_argument(
            "--sample",
            type=int,
            default=SAMPLE,
            metavar="COUNT",
            help=f"payloads per transform (default {SAMPLE})",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["sample"] < 1:
            raise CommandError("--sample takes a number above zero.")
        archive = Archive()
        impure = 0
        try:
            sources = options["source"] or sorted({found.source for found in all_transforms()})
            for transform in [each for source in sources for each in known_transforms(source)]:
                payloads = sample(transform, archive, options["sample"])
                found = check_purity(transform.function, payloads, name=transform.name)
                impure += bool(found)
                for impurity in first_of_each(found):
                    line = json.dumps(asdict(impurity)) if options["json"] else str(impurity)
                    self.stdout.write(line)
                if not found and not options["json"]:
                    self.stdout.write(
                        f"{transform.name}: the same twice, {len(payloads):,} payloads"
                    )
        except (ReshapeError, ArchiveError) as error:
            raise CommandError(str(error)) from error
        if impure:
            raise CommandError(
                "A transform's rows follow from its payload alone: take the time from "
                "payload.fetched_at, sort what comes out of a set, and make no random numbers."
            )
