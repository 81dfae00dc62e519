"""The parsers on recorded bodies: every one reads, and agrees with an independent reader."""

import io
import json
import re
import tarfile

import pytest
from lxml import etree

from tests.making import make_payload

pytestmark = pytest.mark.corpus


def body_of(body, content_type=None):
    return make_payload("sample.pages", body, content_type=content_type)


def test_recorded_jsonp_reads_as_its_json(corpus_folder):
    files = sorted(corpus_folder.glob("usgs-quakes/*.geojsonp/*"))

    assert len(files) >= 5
    for file in files:
        inner = file.read_text("utf-8").strip().removeprefix("eqfeed_callback(")
        assert body_of(file.read_bytes()).jsonp() == json.loads(inner.removesuffix(");"))


def test_recorded_xml_reads_the_same_through_any_charset(corpus_folder):
    files = [
        *sorted(corpus_folder.glob("ecb-fx/*/*.xml"))[::4],
        *sorted(corpus_folder.glob("usgs-quakes/all_hour.atom/*")),
    ]

    assert len(files) >= 4
    for file in files:
        body = file.read_bytes()
        said = re.sub(rb"(<\?xml[^>]*encoding=)([\"']).*?\2", rb"\1'utf-16'", body, count=1)
        wide = said.decode().encode("utf-16")
        expected = etree.tostring(etree.fromstring(body))
        assert etree.tostring(body_of(body).xml()) == expected
        assert etree.tostring(body_of(wide).xml()) == expected


def test_recorded_pages_have_a_title_and_lose_no_link(corpus_folder):
    (file,) = corpus_folder.glob("cppreference-wiki/*.tar.xz")
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as archive:
        members = [each for each in archive if each.name.endswith(".html")][::25]
        files = [archive.extractfile(each) for each in members]
        pages = [file.read() for file in files if file]

    assert len(pages) >= 30
    for page in pages:
        payload = body_of(page, "text/html")
        tree = payload.html()
        assert payload.charset == "utf-8"
        assert tree.css_first("title").text()
        assert len(tree.css("a[href]")) == len(re.findall(r"<a\s[^>]*href=", payload.text))
