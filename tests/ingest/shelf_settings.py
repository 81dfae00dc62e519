"""Settings for extracting processes that tests start: no sources but the shelf."""

from .server_settings import *  # noqa: F403
from .server_settings import INSTALLED_APPS

SOURCE_APPS = ["tests.ingest.shelf"]
INSTALLED_APPS = [SOURCE_APPS[0] if app == "tests.ingest.ticker" else app for app in INSTALLED_APPS]
