"""The program's settings, with the market as its only source."""

from etl import settings as shipped
from etl.settings import *  # noqa: F403

SOURCE_APPS = ["bench.serve.market"]
INSTALLED_APPS = [
    name for name in shipped.INSTALLED_APPS if name not in shipped.SOURCE_APPS or name == "api"
]
INSTALLED_APPS.insert(INSTALLED_APPS.index("api"), "bench.serve.market")
