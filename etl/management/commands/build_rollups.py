"""`manage.py build_rollups`: compute all rollups afresh and publish them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from etl import walk
from warehouse.errors import WarehouseError


class Command(BaseCommand):
    help = (
        "Compute every rollup from the models' rows as they are, load and publish them. "
        "A replay does this by itself for the rollups that its rows concern."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            walk.rebuild()
        except WarehouseError as error:
            raise CommandError(str(error)) from error
