"""The system checks of derived models and transforms."""

import pytest
from django.core.management import call_command
from django.db import models
from django.test.utils import isolate_apps
from django.utils import timezone

from reshape.checks import _check_model, check_transforms
from reshape.merge_checks import check_links_between_sources
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


def make_model(name, /, **fields):
    meta = type("Meta", (), {"app_label": "sample"})
    return type(name, (Derived,), {"__module__": __name__, "Meta": meta, **fields})


@isolate_apps("tests.sample")
@pytest.mark.parametrize(
    ("declared", "problem", "hint"),
    [
        ({"merge": "field"}, "merge is 'field'", 'Write merge = "row"'),
        ({"precedence": {"name": ["sample.pages"]}}, "takes whole records", 'Add merge = "fields"'),
        ({"merge": "fields", "precedence": ["name"]}, "precedence is ['name']", "source.feed"),
        (
            {"merge": "fields", "precedence": {"nmae": ["sample.pages"]}},
            "names 'nmae', which is no column that merges",
            "The closest are: name",
        ),
        (
            {"merge": "fields", "precedence": {"code": ["sample.pages"]}},
            "names 'code', which is no column that merges",
            "name",
        ),
        (
            {"merge": "fields", "precedence": {"name": ["sample.page"]}},
            "names the feed 'sample.page', which no transform of sample reads",
            "closest first: sample.pages",
        ),
        (
            {"merge": "fields", "precedence": {"name": "sample.pages"}},
            "is the text 'sample.pages'",
            '["sample.pages", …]',
        ),
    ],
)
def test_merging_that_cannot_be_meant_is_named(declared, problem, hint):
    fields = {
        "code": models.TextField(primary_key=True),
        "name": models.TextField(),
        "age": models.IntegerField(null=True),
    }

    (message,) = _check_model(make_model("Thing", **fields, **declared))

    assert message.id == "reshape.E007"
    assert problem in message.msg
    assert hint in str(message.hint)


@isolate_apps("tests.sample")
def test_many_to_many_field_is_told_what_to_write():
    plain = make_model(
        "Circle", code=models.TextField(primary_key=True), members=models.ManyToManyField(Author)
    )
    mirrored = make_model(
        "Person",
        code=models.TextField(primary_key=True),
        friends=models.ManyToManyField("self", through="Friendship"),
    )
    make_model(
        "Friendship",
        pk=models.CompositePrimaryKey("one", "other"),
        one=models.ForeignKey(mirrored, models.CASCADE, related_name="+"),
        other=models.ForeignKey(mirrored, models.CASCADE, related_name="+"),
    )

    (message,) = _check_model(plain)
    (also,) = _check_model(mirrored)

    assert 'models.ManyToManyField(Author, through="CircleAuthor")' in str(message.hint)
    assert 'models.CompositePrimaryKey("circle", "author")' in str(message.hint)
    assert (also.id, also.hint) == (
        "reshape.E002",
        "A row lists the links in one direction: add symmetrical=False.",
    )


def test_sources_that_link_in_a_circle_are_refused(monkeypatch):
    assert check_links_between_sources() == []
    circle = {"port": frozenset({"ferry"}), "ferry": frozenset({"port"})}
    monkeypatch.setattr("reshape.merge_checks.graph_of", lambda found: circle)

    (message,) = check_links_between_sources()

    assert message.id == "reshape.E008"
    assert "ferry → port → ferry" in message.msg
