"""`manage.py build_rollups`: compute all rollups afresh and publish them."""

from typing import Any

from django.core.management.base import CommandError

from etl import walk
from raw_store import commands
from reshape.errors import ReshapeError
from warehouse.errors import WarehouseError


class Command(commands.Command):
    help = (
        "Compute every rollup from the models' rows as they are, load and publish them. "
        "A replay does this by itself for the rollups that its rows concern."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            built = walk.rebuild()
        except (WarehouseError, ReshapeError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{len(built.tables)} rollups computed; {built.path.name} is published.")
