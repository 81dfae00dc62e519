"""Fingerprints: the same in every process, another one for other code."""

import os
import subprocess
import sys

from reshape.columns import columns_of
from reshape.fingerprint import fingerprint
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
