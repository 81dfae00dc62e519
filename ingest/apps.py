"""The app of extraction; it keeps the HTTP client's own log lines, and secrets in them, out."""

import logging

from django.apps import AppConfig


class IngestConfig(AppConfig):
    name = "ingest"

    def ready(self) -> None:
        # At INFO and DEBUG they log addresses and headers with the secrets still in them.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
