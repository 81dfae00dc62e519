"""Text: the charset of a body, whoever says it and however wrongly."""

import codecs
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raw_store.errors import BodyUnreadable
from raw_store.parsing import labels
from raw_store.parsing.charsets import decode, mark_of
from raw_store.parsing.prescan import html_charset, xml_charset
from tests.making import make_payload

PYTHON_S = {
    "utf-8": "utf-8",
    "Latin1": "cp1252",
    " ISO-8859-1 ": "cp1252",
    "us-ascii": "cp1252",
    "windows-1251": "cp1251",
    "iso-8859-15": "iso8859-15",
    "l2": "iso8859-2",
    "iso-8859-9": "cp1254",
    "koi8-r": "koi8-r",
    "tis-620": "cp874",
    "macintosh": "mac-roman",
    "sjis": "cp932",
    "euc-jp": "euc-jp",
    "iso-2022-jp": "iso2022-jp",
    "gb2312": "gb18030",
    "big5": "big5hkscs",
    "ks_c_5601-1987": "cp949",
    "utf-16": "utf-16-le",
    "utf-16be": "utf-16-be",
    "utf-32": "utf-32-le",
}


def page(body, content_type=None):
    return make_payload("sample.pages", body, content_type=content_type)


# Three control characters are no text in ISO 2022: they switch between sets of characters.
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\x0e\x0f\x1b"))


@given(label=st.sampled_from(sorted(PYTHON_S)), text=PLAIN)
def test_any_text_under_its_right_label_reads_back(label, text):
    body = text.encode(PYTHON_S[label], "ignore")
    written = body.decode(PYTHON_S[label])
    assume(mark_of(body) == (None, 0))

    assert page(body, f'text/plain; charset="{label}"').text == written


@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_byte_order_mark_outranks_every_label_and_is_no_part_of_the_text(mark, codec, text):
    body = mark + text.encode(codec)

    assert page(body, "text/html; charset=windows-1251").text == text


@given(body=st.binary(), said=st.sampled_from(sorted(labels._LABELS)) | st.text())
def test_no_body_and_no_label_are_beyond_reading(body, said):
    payload = page(body, f"text/html; charset={said}")

    assert payload.text == decode(body, f"text/html; charset={said}").text
    assert labels.name_of(payload.charset) == payload.charset


@given(body=st.binary())
def test_the_prescan_ends_on_any_bytes(body):
    for start in (
        b"",
        b"<meta charset",
        b"<meta http-equiv=content-type content='charset=",
        b"<?xml",
    ):
        assert html_charset(start + body) in {None, *labels._LABELS}
        assert xml_charset(start + body) in {None, *labels._LABELS}


def test_every_label_leads_to_a_charset_that_reads_ascii():
    wide = {name for name in labels._LABELS if name.startswith(("utf-16", "utf-32"))}

    for name in labels._LABELS.keys() - wide:
        assert labels.decode_as(b"ok 1", name) == "ok 1", name


@pytest.mark.parametrize(
    ("name", "byte", "character"),
    [
        ("windows-1252", 0x81, "\x81"),
        ("windows-1252", 0x80, "€"),
        ("windows-1255", 0xCA, "\u05ba"),
        ("koi8-u", 0xAE, "ў"),
        ("windows-1257", 0x83, "\x83"),
    ],
)
def test_bytes_that_python_reads_otherwise_follow_the_standard(name, byte, character):
    assert labels.decode_as(bytes([byte]), name) == character


@pytest.mark.parametrize(
    ("content_type", "body", "charset"),
    [
        ("text/html; charset=klingon", "é".encode(), "utf-8"),
        ("text/html; charset=klingon", b"<meta charset=koi8-r>\xc1", "koi8-r"),
        ("text/plain; charset=iso-2022-jp", "Zürich".encode(), "utf-8"),
        ("text/plain; charset=utf-8", b"D\xe9j\xe0 vu", "windows-1252"),
        ("text/plain; charset=hex", b"6869", "utf-8"),
        ("text/plain", b"D\xe9j\xe0 vu", "windows-1252"),
        (None, b"", "utf-8"),
    ],
)
def test_a_wrong_label_is_passed_over(content_type, body, charset):
    assert page(body, content_type).charset == charset


def test_one_bad_byte_spoils_no_other_character():
    body = "Zürich, Genève, Köln".encode() + b"\xff"

    assert page(body, "text/plain; charset=utf-8").text == "Zürich, Genève, Köln\ufffd"


def test_a_label_that_fits_but_for_a_byte_is_believed():
    body = "日本語".encode("euc-jp") + b"\xff"

    found = decode(body, "text/plain; charset=euc-jp")

    assert (found.text, found.charset, found.is_exact) == ("日本語\ufffd", "euc-jp", False)


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (b'<meta charset="windows-1251">', "windows-1251"),
        (b"<META CHARSET = 'sjis' >", "shift_jis"),
        (b"<!doctype html><html><head><meta name=a charset=koi8-r>", "koi8-r"),
        (b'<meta content="text/html; charset=gb2312" http-equiv="Content-Type">', "gbk"),
        (b'<meta content="text/html; charset=gb2312">', None),
        (b'<meta http-equiv=refresh content="0; charset=gb2312">', None),
        (b"<meta charset=utf-16>", "utf-8"),
        (b"<meta charset=klingon><meta charset=big5>", "big5"),
        (b"<!-- <meta charset=big5> --><meta charset=koi8-u>", "koi8-u"),
        (b"<!--><meta charset=big5>", "big5"),
        (b"<a title='<meta charset=big5>'><meta charset=koi8-u>", "koi8-u"),
        (b"<metal charset=big5>", None),
        (b"<p charset=big5>", None),
        (b"<meta/charset=big5>", "big5"),
        (b"<meta charset='big5", None),
        (b" " * 1003 + b"<meta charset=big5>", "big5"),
        (b" " * 1024 + b"<meta charset=big5>", None),
    ],
)
def test_the_prescan_reads_what_a_browser_reads(body, charset):
    assert html_charset(body) == charset


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (b'<?xml version="1.0" encoding="iso-8859-1"?><a/>', "windows-1252"),
        (b"<?xml version='1.0' encoding = 'KOI8-R' ?>", "koi8-r"),
        (b'<?xml version="1.0"?><a encoding="koi8-r"/>', None),
        ('<?xml version="1.0"?><a/>'.encode("utf-16-le"), "utf-16le"),
        ('<?xml version="1.0"?><a/>'.encode("utf-16-be"), "utf-16be"),
        (b'<?xml version="1.0" encoding="utf-16"?>', "utf-8"),
        (b"<?xml", None),
    ],
)
def test_an_xml_declaration_is_read(body, charset):
    assert xml_charset(body) == charset


def test_markup_inside_another_format_declares_nothing():
    body = b'{"html": "<meta charset=koi8-r>", "caf\xc3\xa9": 1}'

    assert page(body, "application/json").charset == "utf-8"


def test_the_header_outranks_what_the_page_says():
    assert page(b"<meta charset=koi8-r>\xe9", "text/html; charset=latin1").text[-1] == "é"


def test_a_publisher_s_wrong_label_can_be_put_right():
    payload = page("Zürich".encode(), "text/csv; charset=iso-8859-1")

    assert payload.text == "ZÃ¼rich"
    assert payload.with_charset("utf-8").text == "Zürich"
    with pytest.raises(BodyUnreadable, match="Nobody knows the charset 'klingon'"):
        payload.with_charset("klingon")


def test_a_payload_alone_loads_no_parser():
    code = (
        "import sys, raw_store.payload; "
        "print([m for m in sys.modules if m.split('.')[0] in {'lxml', 'selectolax', 'pydantic'}"
        " or m.startswith('raw_store.parsing')])"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
