"""Settings for server processes that tests start: no sources but the ticker."""

from tests.settings import *  # noqa: F403

SOURCE_APPS = ["tests.ingest.ticker"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "raw_store",
    "ingest",
    "reshape",
    "warehouse",
    "warehouse.rollup_tables",
    *SOURCE_APPS,
    "api",
    "etl",
]
