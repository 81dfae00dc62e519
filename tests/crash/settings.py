"""Settings of the processes that are killed: every stage, one small source, no server."""

from tests.settings import *  # noqa: F403

SOURCE_APPS = ["tests.sample"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "raw_store",
    "ingest",
    "reshape",
    "warehouse",
    "warehouse.rollup_tables",
    *SOURCE_APPS,
    "etl",
]
ROOT_URLCONF = "tests.crash.settings"
urlpatterns: list[object] = []
PARSE_WORKERS = PARSE_WORKERS or 1  # noqa: F405
