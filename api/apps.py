"""The API: its system check says whether a schema can be made."""

from django.apps import AppConfig
from django.conf import settings
from django.core import checks


class ApiConfig(AppConfig):
    name = "api"

    def ready(self) -> None:
        checks.register(check_schema)
        checks.register(check_settings)


def check_schema(**_: object) -> list[checks.CheckMessage]:
    """The system check: the models and rollups have names and types in GraphQL.

    It does not import the sources' `schema.py` files; `manage.py schema` makes the whole.
    """
    # Not above: models cannot be imported before every app is loaded.
    from .errors import SchemaError
    from .schema import describe

    try:
        describe()
    except SchemaError as error:
        return [checks.Error(str(error), id="api.E001")]
    return []


def check_settings(**_: object) -> list[checks.CheckMessage]:
    """The system check: what the API's settings say can be meant."""
    from .access.recognising import ANONYMOUS

    if settings.ANONYMOUS_READ not in ANONYMOUS:
        return [
            checks.Error(
                f"ANONYMOUS_READ is {settings.ANONYMOUS_READ!r}; it is one of "
                f"{', '.join(ANONYMOUS)}.",
                id="api.E002",
            )
        ]
    return []
