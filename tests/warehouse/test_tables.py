"""The rollups' tables in the serving database: created, recreated, dropped, transactionally."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction

from tests.topology.peers import postgres
from warehouse.discovery import Rollup
from warehouse.models import RollupTable
from warehouse.rollup_tables.models import indexed_columns, make_model, unique_columns
from warehouse.rollups import problems, rollup_models, rollups
from warehouse.tables import ensure_tables

from .conftest import FETCH, TABLES


@pytest.fixture
def model_of(rollups):
    """Makes the model of a rollup's SQL, and forgets it after the test."""
    made = []

    def make(name, sql):
        rollups.write(name, sql)
        found, problems = rollups.discover(TABLES)
        assert not problems
        model = make_model(next(rollup for rollup in found if rollup.name == name))
        made.append(model)
        return model

    yield make
    for model in made:
        apps.all_models["rollups"].pop(model.__name__.lower(), None)
    apps.clear_cache()


def columns_of(table):
    with connection.cursor() as cursor:
        return [
            column.name for column in connection.introspection.get_table_description(cursor, table)
        ]


def forget(model):
    """Take the model out of the registry, so that its file can be read again."""
    del apps.all_models["rollups"][model.__name__.lower()]
    apps.clear_cache()


def rollup_of(model: Any) -> Rollup:
    found: Rollup = model.rollup
    return found


def test_every_rollup_of_the_sources_has_a_model():
    assert problems() == []
    assert [rollup_of(model) for model in rollup_models()] == rollups()
    assert {"sample"} <= {rollup.source for rollup in rollups()}
    for model in rollup_models():
        assert model._meta.app_label == "rollups"
        assert model._meta.db_table == rollup_of(model).name
        assert model._meta.pk.name == "row_id"
        assert [field.attname for field in model._meta.concrete_fields] == [
            "row_id",
            *(name for name, _ in rollup_of(model).columns),
        ]


@pytest.mark.django_db
def test_migrations_leave_the_rollups_alone(capsys):
    call_command("makemigrations", "--check", "--dry-run")

    assert "No changes" in capsys.readouterr().out


def test_what_a_rollup_groups_by_has_an_index(model_of):
    model = model_of(
        "daily",
        "-- key: n\nSELECT occurred_at::DATE AS day, code, magnitude, detail, [1] AS listed, "
        "count(*) AS quake_count, sum(1) AS n FROM quakes_quake GROUP BY ALL",
    )

    assert indexed_columns(model.rollup) == ["day", "code"]
    assert unique_columns(model.rollup) == ["n"]


@pytest.mark.django_db
def test_tables_are_made_once(model_of):
    model = model_of(
        "daily", "SELECT occurred_at::DATE AS day, count(*) AS n FROM quakes_quake GROUP BY 1"
    )

    assert ensure_tables(connection, [model]) == {"daily"}
    assert ensure_tables(connection, [model]) == set()
    assert columns_of("daily") == ["row_id", "day", "n"]
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "daily")
    indexed = [found["columns"] for found in constraints.values() if found["index"]]
    assert ["day"] in indexed


@pytest.mark.django_db
def test_rows_of_every_type_come_back(model_of):
    model = model_of(
        "typed",
        "SELECT 1 AS i, 1.5::DECIMAL(10, 2) AS price, 'x' AS text, true AS flag, fetch_id, "
        "occurred_at, occurred_at::DATE AS day, [1] AS listed, detail, magnitude FROM quakes_quake",
    )
    ensure_tables(connection, [model])
    values = {
        "i": 1,
        "price": Decimal("1.50"),
        "text": "é",
        "flag": True,
        "fetch_id": UUID(FETCH),
        "occurred_at": datetime(2024, 5, 1, 10, tzinfo=UTC),
        "day": date(2024, 5, 1),
        "listed": [1, None],
        "detail": {"a": 1},
        "magnitude": None,
    }
    model.objects.create(row_id="a", **values)

    (row,) = model.objects.filter(day="2024-05-01", price=Decimal("1.5")).values(*values)

    assert row == values


@pytest.mark.django_db
def test_a_table_is_made_anew_when_its_columns_change(model_of):
    before = model_of("daily", "SELECT code, magnitude FROM quakes_quake")
    ensure_tables(connection, [before])
    before.objects.create(row_id="a", code="x", magnitude=1.0)
    forget(before)
    after = model_of("daily", "SELECT code, magnitude::INTEGER AS magnitude FROM quakes_quake")

    assert ensure_tables(connection, [after]) == {"daily"}

    assert after.objects.count() == 0


@pytest.mark.django_db
def test_a_table_somebody_dropped_is_made_again(model_of):
    model = model_of("daily", "SELECT code FROM quakes_quake")
    ensure_tables(connection, [model])
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE daily")

    assert ensure_tables(connection, [model]) == {"daily"}


@pytest.mark.django_db
def test_the_table_of_a_rollup_that_is_gone_is_dropped(model_of):
    ensure_tables(connection, [model_of("daily", "SELECT code FROM quakes_quake")])

    ensure_tables(connection, [])

    assert "daily" not in connection.introspection.table_names()
    assert not RollupTable.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_load_that_fails_leaves_the_old_table_and_its_rows(model_of):
    before = model_of("daily", "SELECT code FROM quakes_quake")
    ensure_tables(connection, [before])
    before.objects.create(row_id="a", code="x")
    forget(before)
    after = model_of("daily", "SELECT code, magnitude FROM quakes_quake")

    def load():
        with transaction.atomic():
            ensure_tables(connection, [after])
            raise RuntimeError("the load failed")

    with pytest.raises(RuntimeError):
        load()

    assert columns_of("daily") == ["row_id", "code"]
    assert before.objects.count() == 1
    ensure_tables(connection, [])


ON_POSTGRES = """
import django; django.setup()
from django.core.management import call_command
from django.db import connection, transaction
from warehouse.rollups import rollup_models
from warehouse.tables import ensure_tables

assert connection.vendor == "postgresql"
call_command("migrate", verbosity=0)
tables = {model._meta.db_table for model in rollup_models()}
try:
    with transaction.atomic():
        assert ensure_tables(connection) == tables
        raise RuntimeError
except RuntimeError:
    assert not tables & set(connection.introspection.table_names())
with transaction.atomic():
    assert ensure_tables(connection) == tables
with transaction.atomic():
    assert ensure_tables(connection) == set()
for model in rollup_models():
    model.objects.create(row_id="a")
    assert model.objects.filter(row_id="a").count() == 1
with transaction.atomic():
    ensure_tables(connection, [])
assert not tables & set(connection.introspection.table_names())
print("done")
"""


def test_postgresql_takes_the_same_tables(tmp_path):
    with postgres() as url:
        ran = subprocess.run(
            [sys.executable, "-c", ON_POSTGRES],
            env={
                **os.environ,
                "DATABASE_URL": url,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "ROOTCELLAR_TEST_HOME": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "done"
