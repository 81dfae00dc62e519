from django.apps import AppConfig
from django.core import checks

from raw_store.commands import OWN_CHECKS
from raw_store.role import ROLE


class ReshapeConfig(AppConfig):
    name = "reshape"

    def ready(self) -> None:
        if ROLE.parses_only:
            return
        from raw_store import followers

        from .checks import check_derived_models, check_sql_transforms, check_transforms
        from .merge_checks import check_links_between_sources
        from .regrouping import RecordFiles

        followers.register(RecordFiles())
        checks.register(check_derived_models, OWN_CHECKS)
        checks.register(check_transforms, OWN_CHECKS)
        checks.register(check_links_between_sources, OWN_CHECKS)
        checks.register(check_sql_transforms, OWN_CHECKS)
