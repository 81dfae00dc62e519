"""The archive as a Django app."""

from django.apps import AppConfig
from django.core.checks import register

from .commands import OWN_CHECKS
from .role import ROLE


class RawStoreConfig(AppConfig):
    name = "raw_store"

    def ready(self) -> None:
        if ROLE.parses_only:
            return
        from .checks import check_archive_disk, check_archive_folder

        register(check_archive_folder, OWN_CHECKS)
        # A laptop's or a test's archive may be in memory: `manage.py check --deploy` asks.
        register(check_archive_disk, deploy=True)
