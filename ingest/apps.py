"""The app of extraction; it keeps secrets out of log lines, and the HTTP client's own lines out.

Its system check says whether `NOTICES` can be meant so.
"""

import logging

from django.apps import AppConfig
from django.core import checks

from raw_store.commands import OWN_CHECKS
from raw_store.interchange import redaction

from .redaction.logs import scrub_log_records


class IngestConfig(AppConfig):
    name = "ingest"

    def ready(self) -> None:
        # At INFO and DEBUG they log addresses and headers with the secrets still in them.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        redaction.register(_import_rules)
        # Also where somebody turns them on again.
        scrub_log_records()
        checks.register(check_notices, OWN_CHECKS)


def check_notices(**_: object) -> list[checks.CheckMessage]:
    """`ingest.E001`: `NOTICES` says what it cannot mean."""
    # Not above: models cannot be imported before every app is loaded.
    from django.core.exceptions import ImproperlyConfigured

    from .notices.channels import all_channels

    try:
        all_channels()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="ingest.E001")]
    return []


def _import_rules(feed: str) -> redaction.Redaction:
    """The rules of a feed, for what is imported into it."""
    from .imports import ImportRedaction

    return ImportRedaction(feed)
