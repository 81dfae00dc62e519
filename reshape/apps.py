from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate

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
        from .migrated import distrust_copies
        from .regrouping import RecordFiles

        followers.register(RecordFiles())
        post_migrate.connect(distrust_copies, dispatch_uid="reshape.distrust_copies")
        checks.register(check_derived_models, OWN_CHECKS)
        checks.register(check_transforms, OWN_CHECKS)
        checks.register(check_links_between_sources, OWN_CHECKS)
        checks.register(check_sql_transforms, OWN_CHECKS)
