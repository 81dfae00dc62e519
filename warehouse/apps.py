"""The warehouse: finds the sources' rollups once every model is known."""

from django.apps import AppConfig
from django.core import checks

from raw_store.commands import OWN_CHECKS


class WarehouseConfig(AppConfig):
    name = "warehouse"

    def ready(self) -> None:
        from .rollups import check_rollups, find_rollups

        find_rollups()
        checks.register(check_rollups, OWN_CHECKS)
