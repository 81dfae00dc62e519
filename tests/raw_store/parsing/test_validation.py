"""Values validated by a Pydantic model, and what quarantine says of those that do not fit."""

import datetime
import subprocess
import sys
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from raw_store.archive import Archive
from raw_store.errors import BodyInvalid
from reshape import registry
from reshape.parse import label_of, parse_segments
from reshape.records import OUTCOMES, records_dir
from tests.making import make_payload
from tests.sample.models import Author


class Quake(BaseModel):
    mag: float
    day: datetime.date


class Collection(BaseModel):
    model_config = ConfigDict(strict=True)

    features: list[Quake]


GOOD = {"features": [{"mag": 1.5, "day": "2026-01-02"}]}
BAD = {"features": [GOOD["features"][0], {"mag": "strong", "day": "2026-01-02"}]}


def body_of(body, content_type="application/json"):
    return make_payload("sample.pages", body, content_type=content_type)


def test_json_comes_back_as_the_model():
    found = body_of(GOOD).json(Collection)

    assert found.features == [Quake(mag=1.5, day=datetime.date(2026, 1, 2))]


def test_any_type_that_pydantic_knows_will_do():
    assert body_of([{"mag": 1, "day": "2026-01-02"}]).json(list[Quake])[0].mag == 1.0
    assert body_of(b"f([1, 2]);").jsonp(tuple[int, int]) == (1, 2)
    assert list(body_of(b"1\n2\n").json_lines(int)) == [1, 2]


def test_a_union_is_read_in_its_own_order_whatever_was_read_before():
    payload = body_of(["5"])

    read = [payload.json(kind)[0] for kind in (list[int | float], list[float | int])]

    assert list(map(type, read)) == [int, float]


@given(mag=st.floats(allow_nan=False, allow_infinity=False), day=st.dates())
def test_rows_of_csv_come_back_as_the_model(mag, day):
    body = f"mag,day\n{mag!r},{day}\n".encode()

    assert list(body_of(body, "text/csv").csv(as_=Quake)) == [Quake(mag=mag, day=day)]


@pytest.mark.parametrize(
    ("read", "field", "value", "said"),
    [
        (lambda: body_of(BAD).json(Collection), "features[1].mag", "'strong'", "valid number"),
        (lambda: body_of({}).json(Collection), "features", "{}", "Field required"),
        (lambda: body_of([1, "x"]).json(list[int]), "[1]", "'x'", "valid integer"),
        (
            lambda: list(body_of(b"1\nx\n".replace(b"x", b'"x"')).json_lines(int)),
            "",
            "'x'",
            "line 2",
        ),
        (
            lambda: list(body_of(b"mag,day\n1,2026-01-02\nx,\n", "text/csv").csv(as_=Quake)),
            "mag",
            "'x'",
            "line 3, mag: Input should be a valid number",
        ),
    ],
)
def test_what_does_not_fit_names_the_field_and_the_value(read, field, value, said):
    with pytest.raises(BodyInvalid) as caught:
        read()

    assert (caught.value.field, caught.value.value) == (field, value)
    assert said in str(caught.value)
    assert value in str(caught.value)


def test_a_value_without_end_is_shown_in_part():
    with pytest.raises(BodyInvalid) as caught:
        body_of({"features": "x" * 10_000}).json(Collection)

    assert len(str(caught.value)) < 500


@pytest.mark.django_db(transaction=True)
def test_quarantine_holds_the_field_and_the_value(home, monkeypatch):
    def strict(payload):
        for quake in payload.json(Collection).features:
            yield Author.row(code=str(quake.mag), name="n")

    name = "sample.transform_pages"
    changed = replace(registry._transforms[name], function=strict, code_digest="strict")
    monkeypatch.setitem(registry._transforms, name, changed)
    archive = Archive()
    archive.append_all("sample.pages", [make_payload("sample.pages", BAD)])

    parse_segments([changed], archive)

    (path,) = records_dir(OUTCOMES, label_of(changed)).glob("*.parquet")
    (outcome,) = pq.read_table(path).to_pylist()
    assert outcome["error"] == "BodyInvalid"
    assert (outcome["field"], outcome["value"]) == ("features[1].mag", "'strong'")
    assert "does not fit Collection: features[1].mag" in outcome["message"]


def test_without_pydantic_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['pydantic'] = None\n"
        "from tests.making import make_payload\n"
        "print(make_payload('sample.pages', b'1').json())\n"
        "make_payload('sample.pages', b'1').json(int)"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ran.stdout == "1\n"
    assert "`as_=int` needs pydantic, which is not installed" in ran.stderr
