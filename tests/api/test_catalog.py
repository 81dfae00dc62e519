"""What the schema holds, read from models alone."""

import pytest
from django.db import models
from django.test.utils import isolate_apps

from api.apps import check_schema
from api.catalog import make_catalog
from api.errors import SchemaError
from reshape.models import Derived
from tests.api.garden.models import Bed


class Sown(Derived):
    class Meta:
        abstract = True
        app_label = "garden"


def catalog_of(*derived):
    return make_catalog(derived=derived, rollups=[], own={}, hidden={}, reserved=[])


@isolate_apps("tests.api.garden")
def test_the_list_is_called_by_the_plural_that_the_author_set():
    class Ox(Sown):
        code = models.CharField(primary_key=True, max_length=9)

        class Meta(Sown.Meta):
            verbose_name_plural = "draught oxen"

    class Goose(Sown):
        code = models.CharField(primary_key=True, max_length=9)

    found = catalog_of(Ox, Goose)

    assert (found[Ox].names.one, found[Ox].names.many) == ("ox", "draughtOxen")
    assert (found[Goose].names.one, found[Goose].names.many) == ("goose", "geese")


@isolate_apps("tests.api.garden")
def test_a_plural_that_equals_the_singular_is_called_a_list():
    class Species(Sown):
        code = models.CharField(primary_key=True, max_length=9)

    assert catalog_of(Species)[Species].names.many == "speciesList"


@isolate_apps("tests.api.garden")
def test_a_reverse_relation_is_called_by_its_related_name_or_the_plural():
    class Net(Sown):
        code = models.CharField(primary_key=True, max_length=9)

    class Station(Sown):
        code = models.CharField(primary_key=True, max_length=9)
        net = models.ForeignKey(Net, models.CASCADE)
        first_net = models.ForeignKey(Net, models.CASCADE, related_name="first_stations")
        hidden_net = models.ForeignKey(Net, models.CASCADE, related_name="+")

    found = catalog_of(Net, Station)

    assert [one.name for one in found[Net].relations] == ["stations", "firstStations"]
    assert [one.name for one in found[Station].relations] == ["net", "firstNet", "hiddenNet"]


@isolate_apps("tests.api.garden")
def test_a_reverse_relation_gives_way_to_a_column():
    class Net(Sown):
        code = models.CharField(primary_key=True, max_length=9)
        stations_count = models.IntegerField()

    class Station(Sown):
        code = models.CharField(primary_key=True, max_length=9)
        net = models.ForeignKey(Net, models.CASCADE)

    (relation,) = catalog_of(Net, Station)[Net].relations

    assert relation.name == "stationsSet"


@isolate_apps("tests.api.garden")
def test_help_text_or_the_string_below_describes_a_field():
    class Net(Sown):
        """A network."""

        code = models.CharField(primary_key=True, max_length=9, help_text="Its code.")
        name = models.CharField(max_length=9)
        """Its name."""
        url = models.CharField(max_length=9)

    found = catalog_of(Net)[Net]

    assert found.description == "A network."
    assert [column.description for column in found.columns[:3]] == ["Its code.", "Its name.", None]


@isolate_apps("tests.api.garden")
def test_a_kind_of_field_that_no_scalar_shows_is_refused():
    class Span(Sown):
        code = models.CharField(primary_key=True, max_length=9)
        lasts = models.DurationField()

    with pytest.raises(SchemaError, match=r"garden\.Span\.lasts is a DurationField, .* Known"):
        catalog_of(Span)


@isolate_apps("tests.api.garden")
def test_a_column_called_payload_is_refused():
    class Crate(Sown):
        code = models.CharField(primary_key=True, max_length=9)
        payload = models.TextField()

    with pytest.raises(SchemaError, match=r"garden\.Crate\.payload .* taken\. Rename"):
        catalog_of(Crate)


def test_the_system_check_finds_nothing_wrong_with_what_is_installed():
    assert check_schema() == []


def test_the_system_check_reports_what_cannot_be_shown(monkeypatch):
    # As a source's migration would: a column that takes the place of the lineage.
    monkeypatch.setattr(Bed._meta.get_field("name"), "attname", "payload")

    (found,) = check_schema()

    assert found.id == "api.E001"
    assert "garden.Bed.payload would be called payload" in found.msg
