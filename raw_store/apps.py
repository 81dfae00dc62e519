"""The archive as a Django app."""

from django.apps import AppConfig
from django.core.checks import register


class RawStoreConfig(AppConfig):
    name = "raw_store"

    def ready(self) -> None:
        from .checks import check_archive_folder

        register(check_archive_folder)
