"""Settings for child processes of these tests: the archive alone, in a home of its own."""

from tests.settings import *  # noqa: F403

INSTALLED_APPS = ["django.contrib.contenttypes", "raw_store"]
ROOT_URLCONF = "tests.raw_store.alone"
urlpatterns: list[object] = []
