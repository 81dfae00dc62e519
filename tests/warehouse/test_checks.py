"""A broken rollup file is reported by the checks, and does not stop what does not need it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = """
from django.apps import AppConfig


class BrokenConfig(AppConfig):
    name = "broken"
"""


@pytest.fixture
def manage(tmp_path):
    """Runs manage.py with a further source whose only rollup is broken."""
    source = tmp_path / "broken"
    (source / "rollups").mkdir(parents=True)
    (source / "__init__.py").touch()
    (source / "apps.py").write_text(APPS)
    (source / "rollups" / "wrong.sql").write_text("SELECT code FROM quakes_quak")

    def run(*arguments, apps="broken"):
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "ROOTCELLAR_HOME": str(tmp_path / "home"),
                "ROOTCELLAR_APPS": apps,
                "DJANGO_SETTINGS_MODULE": "etl.settings",
                "PYTHONPATH": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_the_check_names_the_file_and_the_closest_tables(manage):
    ran = manage("check")

    assert ran.returncode == 1
    assert "(warehouse.E001) Rollup" in ran.stderr
    assert "broken/rollups/wrong.sql: it reads the table quakes_quak" in ran.stderr
    assert "closest first: quakes_quake" in ran.stderr


def test_a_build_refuses_to_start(manage):
    assert manage("migrate", "--skip-checks").returncode == 0

    ran = manage("build_rollups", "--skip-checks")

    assert ran.returncode == 1
    assert ran.stderr.startswith("CommandError: The build needs every rollup file to be right:")
    assert "wrong.sql" in ran.stderr


def test_questions_are_answered_all_the_same(manage):
    ran = manage("sql", "-c", "SELECT count(*) AS n FROM quakes_daily", "--format", "csv")

    assert (ran.returncode, ran.stdout) == (0, "n\n0\n")


def test_a_malformed_header_and_one_that_is_misspelt_are_reported(manage, tmp_path):
    folder = tmp_path / "broken" / "rollups"
    (folder / "wrong.sql").write_text("-- refresh: hourly\nSELECT code FROM quakes_quake")
    (folder / "odd.sql").write_text("-- keys: code\nSELECT code FROM quakes_quake")

    ran = manage("check")

    assert ran.returncode == 1
    assert "(warehouse.E002) Rollup" in ran.stderr
    assert "its `-- refresh: hourly` is none of" in ran.stderr
    assert "(warehouse.W001) Rollup" in ran.stderr
    assert "'-- keys: code' looks like the header key" in ran.stderr


def test_rollups_between_sources_live_beside_them(manage, tmp_path):
    pack = tmp_path / "pack"
    for name in ("alpha", "rollups"):
        (pack / name).mkdir(parents=True)
        (pack / name / "__init__.py").touch()
    (pack / "__init__.py").touch()
    (pack / "alpha" / "apps.py").write_text(APPS.replace('"broken"', '"pack.alpha"'))
    (pack / "rollups" / "rates_and_quakes.sql").write_text(
        "SELECT count(*) AS n FROM fx_rate WHERE EXISTS (FROM quakes_daily)"
    )
    os.rename(tmp_path / "broken" / "rollups", tmp_path / "aside")

    ran = manage(
        "sql", "-c", "SELECT n FROM rates_and_quakes", "--format", "csv", apps="pack.alpha"
    )

    assert (ran.returncode, ran.stdout) == (0, "n\n")
