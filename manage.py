#!/usr/bin/env python
"""Run a command: `python manage.py help` lists them all."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl.settings")
    from raw_store.cycles import look_rarely

    # Looking for cycles among what is loaded took a sixth of the time until a command begins.
    look_rarely()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
