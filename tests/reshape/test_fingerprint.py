"""Fingerprints: the same in every process, another one for other code."""

import os
import subprocess
import sys

from reshape.fingerprint import fingerprint
from reshape.registry import all_transforms

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
