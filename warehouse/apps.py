"""The warehouse: finds the sources' rollups once every model is known."""

from django.apps import AppConfig
from django.core import checks

from raw_store.commands import OWN_CHECKS
from raw_store.role import ROLE


class WarehouseConfig(AppConfig):
    name = "warehouse"

    def ready(self) -> None:
        if ROLE.parses_only:
            # A quarter of the time that a worker takes to begin, for tables that it never meets.
            return
        from .rollups import check_rollups, find_rollups

        find_rollups()
        checks.register(check_rollups, OWN_CHECKS)
