"""Where a build's files are: its views name them by absolute path, and a home folder may be moved.

A build that was made in another folder shows what lies there, or nothing; a new one is made.
"""

from pathlib import Path

import duckdb
from django.conf import settings

from .publish import current_build
from .views import archive_folder

_NAMED = """
SELECT
    (SELECT min(path) FROM {build}.build.copies),
    (SELECT sql FROM duckdb_views() WHERE database_name = $name AND view_name = 'archive')
"""


def is_elsewhere() -> bool:
    """Whether the published build was made where its files are no more: in another home folder, or
    from an archive at another place."""
    build = current_build()
    if build is None or not build.exists():
        return False
    with duckdb.connect(config={"threads": 1}) as connection:
        escaped = str(build).replace("'", "''")
        try:
            connection.execute(f"ATTACH '{escaped}' AS published (READ_ONLY)")
            return names_elsewhere(connection, "published")
        except duckdb.Error:
            return False  # whoever reads it says what is wrong


def names_elsewhere(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a build, attached as `name`, names files of another home folder or archive."""
    ((copy, archive_view),) = connection.execute(
        _NAMED.format(build=name), {"name": name}
    ).fetchall()
    home = Path(settings.WAREHOUSE_DIR).resolve()
    if copy is not None and not Path(copy).is_relative_to(home):
        return True
    archive = archive_folder(settings.ARCHIVE_URL)
    is_read = archive_view is not None and "read_parquet" in archive_view
    return is_read and (archive is None or f"{archive}/".replace("'", "''") not in archive_view)
