"""The system checks of derived models and transforms."""

import pytest
from django.core.management import call_command
from django.db import models
from django.test.utils import isolate_apps
from django.utils import timezone

from reshape.checks import _check_model, check_transforms
from reshape.models import Derived
from reshape.registry import Transform
from tests.sample.models import Author


def ids(model):
    return [message.id for message in _check_model(model)]


def test_shipped_models_and_transforms_pass():
    call_command("check", fail_level="WARNING")


@isolate_apps("tests.sample")
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": models.TextField()}, ["reshape.E001"]),
        ({"at": models.DurationField(), "k": models.TextField(primary_key=True)}, ["reshape.E002"]),
        (
            {"code": models.TextField(primary_key=True), "other": models.TextField(unique=True)},
            ["reshape.E003"],
        ),
        (
            {
                "code": models.TextField(primary_key=True),
                "kind": models.ForeignKey("contenttypes.ContentType", models.CASCADE),
            },
            ["reshape.E004"],
        ),
        (
            {
                "code": models.TextField(primary_key=True),
                "at": models.DateTimeField(default=timezone.now),
            },
            ["reshape.E005"],
        ),
        (
            {
                "code": models.TextField(primary_key=True),
                "price": models.DecimalField(max_digits=20, decimal_places=2),
            },
            ["reshape.W001"],
        ),
        ({"code": models.TextField(primary_key=True), "tags": models.JSONField(default=list)}, []),
    ],
)
def test_model_is_told_what_it_must_not_be(fields, expected):
    if "kind" in fields:
        from django.contrib.contenttypes.models import ContentType

        fields = fields | {"kind": models.ForeignKey(ContentType, models.CASCADE)}
    meta = type("Meta", (), {"app_label": "sample"})
    model = type("Thing", (Derived,), {"__module__": __name__, "Meta": meta, **fields})

    assert ids(model) == expected


def test_many_to_many_field_is_refused():
    with isolate_apps("tests.sample"):

        class Circle(Derived):
            code = models.TextField(primary_key=True)
            members = models.ManyToManyField(Author)

            class Meta:
                app_label = "sample"

            def __str__(self):
                return self.code

        assert ids(Circle) == ["reshape.E002"]


def test_transform_of_an_unknown_feed_is_told_the_closest(monkeypatch):
    from reshape import registry

    wrong = Transform(
        name="sample.t", feed="sample.page", function=lambda payload: [], code_digest=""
    )
    monkeypatch.setitem(registry._transforms, "sample.t", wrong)

    (message,) = check_transforms()

    assert message.id == "reshape.E006"
    assert "sample.pages" in str(message.hint)
