"""Migrations: what they leave in a source's tables is not what the last load left there."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.apps.registry import Apps
from django.db.migrations import Migration


def distrust_copies(
    app_config: AppConfig,
    using: str,
    apps: Apps | None = None,
    plan: Sequence[tuple[Migration, bool]] = (),
    **_: Any,
) -> None:
    """Have the next replay of a migrated source compare every row (signal `post_migrate`).

    A table may be there anew and empty, or a migration may have written to it.
    """
    if apps is None or app_config.label not in {migration.app_label for migration, _ in plan}:
        return
    try:
        copies = apps.get_model("reshape", "ModelState")
        sources = apps.get_model("reshape", "SourceState")
    except LookupError:
        # Not there yet, or no more.
        return
    copies._default_manager.using(using).filter(source=app_config.label).delete()
    if any(field.name == "inputs" for field in sources._meta.fields):
        of_source = sources._default_manager.using(using).filter(source=app_config.label)
        of_source.update(inputs="")
