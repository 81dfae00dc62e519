"""`manage.py farm_origin`: serve the farm's own web site on loopback."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sources.farm.origin import Origin
from sources.farm.origin.world import date_of


class Command(BaseCommand):
    help = "Serve the fictional farm game's site on loopback, for `extract farm` to read."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8799, help="0 takes a free one")
        parser.add_argument("--day", type=int, default=0, help="the simulated day to begin with")

    def handle(self, *, port: int, day: int, **options: Any) -> None:
        if day < 0:
            raise CommandError(f"Dapplefen's first day is 0; got --day {day}.")
        try:
            origin = Origin(day=day, port=port)
        except OSError as error:
            raise CommandError(
                f"Port {port} on loopback cannot be used: {error.strerror}. Give another --port."
            ) from None
        self.stdout.write(
            f"Dapplefen on day {day} ({date_of(day)}) is at {origin.url}\n"
            f"  next day: curl -d '{{\"advance\": 1}}' {origin.url}/clock\n"
            f"  extract:  FARM_ORIGIN_URL={origin.url} python manage.py extract farm\n"
            "Ctrl-C stops it."
        )
        try:
            origin.serve()
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
