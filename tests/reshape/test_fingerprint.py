"""Fingerprints: the same in every process, another one for other code."""

import os
import subprocess
import sys

import pytest
from django.db import models
from django.test.utils import isolate_apps

from reshape.columns import columns_of
from reshape.fingerprint import fingerprint
from reshape.models import Derived
from reshape.registry import all_transforms
from tests.sample.models import Author

PROGRAM = """
import django

django.setup()
from reshape.fingerprint import fingerprint
from reshape.registry import all_transforms

for transform in all_transforms():
    print(transform.name, fingerprint(transform))
"""


def test_another_process_finds_the_same_fingerprints():
    expected = [f"{transform.name} {fingerprint(transform)}" for transform in all_transforms()]

    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert expected
    assert found.stdout.splitlines() == expected


def test_only_the_source_whose_model_merges_fields_parses_again(monkeypatch):
    def fingerprints():
        columns_of.cache_clear()
        return {transform.name: fingerprint(transform) for transform in all_transforms()}

    before = fingerprints()
    monkeypatch.setattr(Author, "merge", "fields")
    after = fingerprints()
    monkeypatch.undo()

    changed = {name.partition(".")[0] for name in before if before[name] != after[name]}
    assert changed == {"sample"}
    assert fingerprints() == before


@pytest.mark.parametrize(
    ("field", "other"),
    [
        (models.TextField(null=True), models.JSONField(null=True)),
        (models.CharField(max_length=32, null=True), models.UUIDField(null=True)),
        (models.IntegerField(null=True), models.PositiveIntegerField(null=True)),
    ],
)
def test_a_field_that_takes_other_values_of_the_same_type_counts(field, other, monkeypatch):
    transform = all_transforms()[0]
    found = []
    for value in (field, other):
        body = {
            "__module__": __name__,
            "Meta": type("Meta", (), {"app_label": "sample"}),
            "code": models.TextField(primary_key=True),
            "value": value,
        }
        with isolate_apps("tests.sample"):
            model = type("Thing", (Derived,), body)
            monkeypatch.setattr("reshape.models.derived_models", lambda _, one=model: [one])
            found.append(fingerprint(transform))

    assert found[0] != found[1]
