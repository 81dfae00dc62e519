"""The peer: strawberry-django as its documentation has it, over the same tables.

uvicorn bench.serve.strawberry_app:application
"""

import django

django.setup()

import strawberry  # noqa: E402
import strawberry_django  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from strawberry.django.views import AsyncGraphQLView  # noqa: E402
from strawberry_django.optimizer import DjangoOptimizerExtension  # noqa: E402

from bench.serve.market import models  # noqa: E402


@strawberry_django.type(models.Quest)
class Quest:
    title: strawberry.auto
    image: strawberry.auto
    text: strawberry.auto


@strawberry_django.type(models.Requirement)
class Requirement:
    quantity: strawberry.auto
    quest: Quest


@strawberry_django.filter_type(models.Item, lookups=True)
class ItemFilter:
    id: strawberry.auto


@strawberry_django.type(models.Item, filters=ItemFilter)
class Item:
    id: int
    name: strawberry.auto
    image: strawberry.auto
    value: strawberry.auto
    required_for: list[Requirement]


@strawberry.type
class Query:
    items: list[Item] = strawberry_django.field()


_schema = strawberry.Schema(query=Query, extensions=[DjangoOptimizerExtension])
urlpatterns = [path("graphql", csrf_exempt(AsyncGraphQLView.as_view(schema=_schema)))]
application = ASGIHandler()
