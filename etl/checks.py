"""System checks of the settings that say what a replay does by itself."""

from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from reshape.sweeping import grace

from .policy import policy_of


def check_settings() -> None:
    """Raise `ImproperlyConfigured` for a setting that cannot be meant so."""
    policy_of("")
    grace()


def check_replay_settings(**kwargs: Any) -> list[CheckMessage]:
    """`etl.E001`: `REPLAY_ON_CHANGE` or `RECORDS_GRACE` says what it cannot mean."""
    try:
        check_settings()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="etl.E001")]
    return []
