from django.apps import AppConfig


class RollupTablesConfig(AppConfig):
    name = "warehouse.rollup_tables"
    label = "rollups"
    verbose_name = "Rollups"
