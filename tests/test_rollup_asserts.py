"""A rollup whose assert fails keeps its source's replay from being loaded, until it holds."""

import pytest
from django.core.management import call_command

from etl.walk import rebuild, refresh
from raw_store.archive import Archive
from tests.making import make_payload
from tests.sample.models import Loan
from warehouse.errors import AssertFailed
from warehouse.models import FailedAssert, RollupTable
from warehouse.publish import current_build

pytestmark = pytest.mark.django_db(transaction=True)

BOOKS = {
    "authors": [{"code": "a", "name": "A"}],
    "books": [{"code": "x", "title": "X", "author_id": "a"}],
}


def loans(count):
    return {**BOOKS, "loans": [{"book_id": "x", "day": "2026-01-01", "loan_count": count}]}


@pytest.fixture
def archive(home):
    archive = Archive()
    archive.append_all("sample.pages", [make_payload("sample.pages", loans(1))])
    refresh("sample", archive=archive)
    return archive


def append(archive, body, minute):
    archive.append_all("sample.pages", [make_payload("sample.pages", body, minute=minute)])


def test_nothing_is_loaded_and_status_says_why(archive, capsys):
    published = current_build()
    append(archive, loans(-5), 1)

    with pytest.raises(AssertFailed, match="`loan_count >= 0` does not hold"):
        refresh("sample", archive=archive)
    call_command("status", "sample")

    assert Loan.objects.get().loan_count == 1
    assert current_build() == published
    told = capsys.readouterr().out
    assert "rollup sample_loans_daily asserts `loan_count >= 0`" in told
    assert '{"day":"2026-01-01","loan_count":-5}' in told


def test_it_is_forgotten_once_it_holds(archive, capsys):
    append(archive, loans(-5), 1)
    with pytest.raises(AssertFailed):
        refresh("sample", archive=archive)
    append(archive, loans(7), 2)

    refresh("sample", archive=archive)
    call_command("status", "sample", "--json")

    assert Loan.objects.get().loan_count == 7
    assert not FailedAssert.objects.exists()
    assert '"failed_assert": null' in capsys.readouterr().out


def test_the_age_of_a_rollups_rows_is_noted_with_them(archive):
    first = RollupTable.objects.get(table="sample_loans_daily").computed_at
    append(archive, {**loans(1), "authors": [{"code": "a", "name": "B"}]}, 1)

    refresh("sample", archive=archive)
    kept = RollupTable.objects.get(table="sample_loans_daily").computed_at
    rebuild()

    last = RollupTable.objects.get(table="sample_loans_daily").computed_at

    assert kept == first
    assert first
    assert last
    assert first < last
