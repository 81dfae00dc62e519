"""Fingerprints: the same in every process, another one for other code."""

import os
import subprocess
import sys
from importlib import import_module

import pytest
from django.conf import settings
from django.db import models
from django.test.utils import isolate_apps, override_settings

from reshape.columns import columns_of
from reshape.fingerprint import code_digest, fingerprint
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


@pytest.mark.parametrize("edited", ["shop/__init__.py", "shop/units.py", "shop/transform/rules.py"])
@pytest.mark.parametrize("module", ["shop.transform.items", "shop.transform"])
def test_code_is_every_module_of_the_source_that_is_imported(tmp_path, monkeypatch, edited, module):
    files = {
        "shop/__init__.py": "FACTOR = 1\n",
        "shop/units.py": "from . import FACTOR\n",
        "shop/transform/__init__.py": "from .items import read\ndef read_too(payload): ...\n",
        "shop/transform/items.py": "from .rules import RULE\ndef read(payload): ...\n",
        "shop/transform/rules.py": "from ..units import FACTOR\nRULE = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        monkeypatch.delitem(sys.modules, name)
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "shop"]):
        imported = import_module(module)
        function = imported.read_too if module == "shop.transform" else imported.read
        before = code_digest(function)
        (tmp_path / edited).write_text(files[edited] + "# a comment\n")
        assert code_digest(function) == before

        (tmp_path / edited).write_text(files[edited] + "X = 1\n")

        assert code_digest(function) != before
