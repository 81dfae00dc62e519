"""HTML: any bytes are a page, and text is in its charset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raw_store.errors import BodyUnreadable
from tests.making import make_payload


def page(body, content_type="text/html"):
    return make_payload("sample.pages", body, content_type=content_type).html()


def test_a_page_is_read_in_the_charset_it_declares():
    body = '<meta charset="windows-1251"><title>Зелёный</title>'.encode("cp1251")

    assert page(body).css_first("title").text() == "Зелёный"


def test_what_is_left_open_is_closed_as_browsers_do():
    rows = page(b"<table><tr><td>1<td>2<tr><td>3").css("table > tbody > tr")

    assert [[cell.text() for cell in row.css("td")] for row in rows] == [["1", "2"], ["3"]]


def test_deep_nesting_keeps_every_element():
    assert len(page(b"<div>" * 2_000 + b"x").css("div")) == 2_000


def test_each_call_gives_a_tree_of_its_own():
    payload = make_payload("sample.pages", b"<p>1<p>2", content_type="text/html")

    payload.html().css_first("p").decompose()

    assert len(payload.html().css("p")) == 2


@given(body=st.binary())
def test_any_bytes_are_a_page(body):
    assert page(body).body is not None or b"frameset" in body.lower()


@pytest.mark.parametrize("end", [b"", b"</div>" * 200_000], ids=["open", "closed"])
def test_a_page_of_blocks_without_end_is_refused(end):
    with pytest.raises(BodyUnreadable, match="nests more than 20,000 elements"):
        page(b"<div>" * 200_000 + end)


def test_templates_without_end_are_refused():
    """To write them out again takes stack for each: so many end the interpreter."""
    with pytest.raises(BodyUnreadable, match="nests more than 20,000 elements"):
        page(b"<template>" * 100_000)

    deep = page(b"<template>" * 20_000)
    assert deep.html is not None
    assert deep.html.count("<template>") == 20_000


@pytest.mark.parametrize("end", [b">", b""], ids=["closed", "open"])
def test_an_element_of_attributes_without_end_is_refused(end):
    attributes = b" ".join(b"word%d" % number for number in range(100_000))

    with pytest.raises(BodyUnreadable, match="more than 20,000 attributes"):
        page(b"<p>x</p><a " + attributes + end)


@pytest.mark.parametrize(
    "tag",
    [
        "<path d='M {many}'>",
        '<path d = "M {many}" id=x>',
        "<img alt=x src=data:{joined}>",
        "<a {same}>",
        "<script>[{many}]</script>",
    ],
)
def test_an_element_of_long_values_is_read(tag):
    numbers = list(map(str, range(30_000)))
    body = tag.format(many=" ".join(numbers), joined="".join(numbers), same="a " * 30_000)

    assert page(body.encode()).css_first("path, img, a, script") is not None


def test_a_large_page_that_is_not_deep_is_read():
    body = b"<div><p>x<br></div>" * 30_000

    assert len(page(body).css("div")) == 30_000
