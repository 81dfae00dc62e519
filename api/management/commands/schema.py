"""`manage.py schema`: the GraphQL schema as text."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from api.errors import SchemaError
from api.schema import get_api


class Command(BaseCommand):
    help = "Print the GraphQL schema of everything installed, in GraphQL's schema language."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(get_api().schema.as_str())
        except SchemaError as error:
            raise CommandError(str(error)) from error
