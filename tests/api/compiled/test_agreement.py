"""The two ways of answering agree, on operations at random: data, nulls and errors."""

import json
import os

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.db.models.signals import post_init
from django.http import HttpRequest, HttpResponse
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from strawberry.http import process_result

from api.compiled.extension import Asking
from api.schema import get_api
from api.views.graphql import _View
from tests.api.compiled.operations import operations
from tests.api.compiled.rows import fill

SOURCES = ("garden", "sample", "farm", "quakes")
IS_SQLITE = "sqlite" in django_settings.DATABASES["default"]["ENGINE"]
# Every run compares the same 500, and CI the same 2,000; AGREEMENT_SEED=1 compares others.
SEED = int(os.environ.get("AGREEMENT_SEED", "0"))
EXAMPLES = int(os.environ.get("AGREEMENT_EXAMPLES", "100")) if IS_SQLITE else 60


@pytest.fixture(scope="module")
def entities():
    """What is asked about: entities of sources that have keys, links and columns of every kind."""
    return [entity for entity in get_api().catalog if entity.source in SOURCES]


@pytest.fixture
def filled(db, entities):
    waiting = [entity.model for entity in entities]
    while waiting:
        model = waiting.pop(0)
        targets = {field.related_model for field in model._meta.concrete_fields}
        if targets & set(waiting) - {model}:
            waiting.append(model)
        else:
            fill(model)


def ask(operation, context):
    schema = get_api().schema
    result = async_to_sync(schema.execute)(
        operation.text, variable_values=operation.variables, context_value=context
    )
    # As the view encodes it.
    return json.loads(_View(schema=schema).encode_json(process_result(result)))


@pytest.mark.parametrize("part", range(5))
def test_a_plan_answers_as_the_ordinary_executor_does(filled, entities, part):
    counted = {"compiled": 0, "ordinary": 0}
    instances = []

    def note(sender, **_):
        instances.append(sender)

    @seed(5 * SEED + part)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(operations(get_api(), entities), st.just(part))
    def agree(operation, _):
        post_init.connect(note)
        try:
            compiled = ask(operation, Asking(HttpRequest(), HttpResponse(), tells_plan=True))
        finally:
            post_init.disconnect(note)
        ordinary = ask(operation, None)

        plan = compiled.pop("extensions", {}).get("plan", {"path": None})
        assert compiled == ordinary
        counted[plan["path"]] = counted.get(plan["path"], 0) + 1
        if plan["path"] == "compiled":
            assert len(plan["statements"]) <= operation.places
            assert {kind for kind in instances if kind._meta.app_label in SOURCES} == set()
        elif operation.is_covered:
            assert "errors" in ordinary, plan
        instances.clear()

    agree()

    # The others ask for what no plan covers, or for what is refused.
    assert counted["compiled"] > 0.4 * EXAMPLES
