"""`manage.py columns FEED`: what a feed's bodies hold, as the SELECT of a first transform."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from raw_store import commands, feeds
from raw_store.archive import Archive
from raw_store.errors import ArchiveError, closest_first
from reshape.sql_sampling import SAMPLE_BODIES, Sample, sample_columns

EXAMPLES = """
examples:
  manage.py columns quakes.day                    the SELECT, to look at
  manage.py columns quakes.day > sources/quakes/transforms/quake.sql
                                                  and to begin a transform with
  manage.py columns farm.market --path '$.stalls[*].offers[*]'
                                                  a row for each element of another array

Values stay JSON in the SELECT, so that the model's columns judge them strictly; the comment
beside each says its type over the whole sample. Keep the columns that the model has, under the
names that it gives them.
"""


class Command(commands.Command):
    help = "Write the SELECT of a first transform from what a feed's bodies hold."

    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("feed", help="such as quakes.day")
        parser.add_argument(
            "--path", help="where the rows lie; without, the array of objects with the most of them"
        )
        parser.add_argument(
            "--sample",
            type=int,
            default=SAMPLE_BODIES,
            metavar="BODIES",
            help=f"how many of the newest bodies to look at ({SAMPLE_BODIES:,})",
        )

    def handle(self, *, feed: str, path: str | None, sample: int, **options: Any) -> None:
        known = [each.name for each in feeds.all_feeds()]
        if feed not in known:
            raise CommandError(
                f"There is no feed {feed!r}. Known feeds, closest first: "
                f"{', '.join(closest_first(feed, known)[:5])}."
            )
        if sample < 1:
            raise CommandError("--sample is a number of bodies, at least 1.")
        try:
            found = sample_columns(feed, Archive(), bodies=sample)
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        self._show(feed, path, found)

    def _show(self, feed: str, path: str | None, found: Sample) -> None:
        if not found.body_count:
            raise CommandError(
                f"The archive holds no body of {feed} that is JSON, and {found.other_count:,} "
                f"that are not. Run `manage.py extract {feed}` first; bodies of another form "
                "need a transform in Python."
            )
        if not found.drafts:
            raise CommandError(f"The bodies of {feed} hold no object, so there are no columns.")
        chosen = [draft for draft in found.drafts if path in (None, draft.path)]
        if not chosen:
            listed = ", ".join(draft.path for draft in found.drafts)
            raise CommandError(f"There are no objects at {path}. They lie at: {listed}.")
        self.stdout.write(chosen[0].sql)
        self.stderr.write(f"Bodies read: {found.body_count:,}. Rows lie at")
        for draft in found.drafts:
            mark = "*" if draft is chosen[0] else " "
            self.stderr.write(f"{mark} {draft.path:<40}{draft.record_count:>10,} rows")
