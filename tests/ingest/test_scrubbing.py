"""Messages and log lines: secrets go, and what is no secret can still be read."""

import pytest

from ingest.redact import Redactor


def test_words_that_were_arguments_stay_in_messages():
    met = Redactor("key")
    met.url("https://a.example/?key=quakes&pin=1234&code=page")
    met.headers((("Set-Cookie", "consent=true; Path=/"), ("Cookie", "theme=light; sid=day")))
    line = "run ended feed=quakes.day pages=3 bytes=12345 is_light=true"

    assert met.scrub(line) == line


def test_what_is_no_word_is_masked_in_messages_wherever_it_stands():
    met = Redactor("key")
    met.url("https://a.example/?key=pw-1234&token=iron")

    assert "pw-1234" not in met.scrub("KeyError: pw-1234")
    assert "iron" not in met.scrub("at token=iron")


@pytest.mark.parametrize(
    "message", ["Quake(code='b', session='x')", "{'code': '404'}", 'no row with key: "abc"']
)
def test_short_values_that_a_message_quotes_stay(message):
    assert Redactor("key").scrub(message) == message


def test_a_password_that_a_message_quotes_is_masked_however_short():
    assert "'x'" not in Redactor("key").scrub("login(password='x')")


@pytest.mark.parametrize(
    "name", ["license_key", "registrationkey", "wskey", "application_key", "developerKey", "devkey"]
)
def test_keys_as_well_known_services_name_them_are_secrets(name):
    address = f"https://a.example/?{name}=c0ffee-c0ffee"

    assert "c0ffee" not in Redactor("key").url(address)
