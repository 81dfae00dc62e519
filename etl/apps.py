"""The wiring: finds what the sources declare, once every app is loaded."""

from django.apps import AppConfig
from django.core.checks import register
from django.utils.module_loading import autodiscover_modules

from raw_store.commands import OWN_CHECKS
from raw_store.role import ROLE


class EtlConfig(AppConfig):
    name = "etl"
    verbose_name = "Rootcellar"

    def ready(self) -> None:
        if ROLE.parses_only:
            # Half of the time that a worker takes to begin. What it parses is sent to it.
            autodiscover_modules("transform")
            return
        from api.moments import offer
        from raw_store import followers
        from reshape.sql_discovery import find_sql_transforms

        from . import checks
        from .erasing import Derived
        from .vintages import VintageRefused, find_vintage

        autodiscover_modules("extract")
        autodiscover_modules("transform")
        find_sql_transforms()
        followers.register_renewer(Derived())
        offer(find_vintage, VintageRefused)
        register(checks.check_replay_settings, OWN_CHECKS)
