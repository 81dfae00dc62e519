"""The databases of other moments: who finds them, and how they are opened.

Every process that sets the program up loads this, so it needs nothing of GraphQL.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

Find = Callable[[dt.datetime], Path]

offered: list[tuple[Find, type[Exception]]] = []


def offer(find: Find, refused: type[Exception]) -> None:
    """Say where the database of a moment is found; `refused` is raised where there is none."""
    offered[:] = [(find, refused)]


def open_database(name: str, alias: str) -> DatabaseWrapper:
    """A connection of Django's to a SQLite database beside the program's own."""
    common = connections.databases["default"]
    kept = {key: common[key] for key in ("TIME_ZONE", "AUTOCOMMIT", "ATOMIC_REQUESTS", "TEST")}
    access = dict.fromkeys(("USER", "PASSWORD", "HOST", "PORT"), "")
    own = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "OPTIONS": {},
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
    }
    return DatabaseWrapper({**kept, **access, **own}, alias)
