"""Vintages: every table as the archive stood at a moment, in a file that the API reads."""

from .errors import VintageRefused
from .store import clear_vintages, find_vintage

__all__ = ["VintageRefused", "clear_vintages", "find_vintage"]
