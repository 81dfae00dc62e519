"""System checks of the archive."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from .durability import is_local
from .errors import ArchiveError
from .store_check import disk_warnings


def check_archive_folder(**_: Any) -> list[CheckMessage]:
    """E001: the folder is not writable. E002: the address is no archive's."""
    try:
        local = is_local(settings.ARCHIVE_URL)
    except ArchiveError as error:
        hint = "Set ARCHIVE_URL to a folder or to s3://bucket/prefix."
        return [Error(str(error), hint=hint, id="raw_store.E002")]
    if not local:
        return []
    folder = Path(settings.ARCHIVE_URL).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return []
    return [
        Error(
            f"The archive folder {settings.ARCHIVE_URL} cannot be written: {folder} is not "
            "a folder this user may write to.",
            hint="Change the folder's owner or mode, or set ARCHIVE_URL to another folder.",
            id="raw_store.E001",
        )
    ]


def check_archive_disk(**_: Any) -> list[CheckMessage]:
    """W001: in memory. W002: in a container's layer. W003: on a network. W004: little space."""
    try:
        if not is_local(settings.ARCHIVE_URL):
            return []
    except ArchiveError:
        return []  # E002 says so
    return [
        Warning(warning.text, hint=warning.hint, id=warning.check_id)
        for warning in disk_warnings(settings.ARCHIVE_URL)
    ]
