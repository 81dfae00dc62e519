"""The demo: some days of the bundled farm, told as they pass. `manage.py demo` plays it."""
