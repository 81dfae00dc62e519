"""IRC: a notice is read in a channel of a real ngircd, by somebody who sits in it."""

import os
import shutil
import socket
import subprocess
import time

import pytest

from ingest.errors import NoticeFailed
from ingest.models import Notice
from ingest.notices.channels import all_channels

# Servers lie where a user's PATH may not lead.
NGIRCD = shutil.which("ngircd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(
    NGIRCD is None,
    reason="ngircd is not installed (apt-get install ngircd)",
)

CONFIGURATION = """
[Global]
Name = irc.cellar.test
Info = test
Listen = 127.0.0.1
Ports = {port}
[Limits]
MaxConnectionsIP = 0
[Options]
DNS = no
Ident = no
PAM = no
[Channel]
Name = #ops
Modes = {modes}
"""


@pytest.fixture
def serve(tmp_path):
    """Start ngircd with a channel in these modes; gives its port."""
    started = []

    def begin(modes="n"):
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        (tmp_path / "ngircd.conf").write_text(CONFIGURATION.format(port=port, modes=modes))
        process = subprocess.Popen(
            [
                str(NGIRCD),
                "--nodaemon",
                "--config",
                str(tmp_path / "ngircd.conf"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return port
            except OSError:
                time.sleep(0.05)
        raise AssertionError("ngircd does not listen")

    yield begin
    for process in started:
        process.terminate()
        process.wait()


class Listener:
    """Somebody in the channel, by plain sockets."""

    def __init__(self, port, nick="ear"):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._lines = self._socket.makefile("r", encoding="utf-8", newline="\r\n")
        self.send(f"NICK {nick}\r\nUSER {nick} 0 * :{nick}")
        self.read_until(" 001 ")
        self.send("JOIN #ops")
        self.read_until(" 366 ")

    def send(self, line):
        self._socket.sendall(f"{line}\r\n".encode())

    def read_until(self, text):
        for line in self._lines:
            if line.startswith("PING"):
                self.send(line.strip().replace("PING", "PONG"))
            if text in line:
                return line.strip()
        raise AssertionError(f"{text!r} was never said")

    def close(self):
        self._lines.close()
        self._socket.close()


def test_a_notice_is_said_in_the_channel_in_whole_characters(serve, end_run, settings):
    port = serve()
    ear = Listener(port)
    settings.NOTICES = f"irc://roots@127.0.0.1:{port}/ops"
    end_run("broken\r\nQUIT :injected " + "é" * 400)

    [channel] = all_channels()
    channel.deliver(Notice.objects.get())
    first = ear.read_until("PRIVMSG")
    second = ear.read_until("PRIVMSG")
    gone = ear.read_until("QUIT")
    ear.close()

    assert "PRIVMSG #ops :orchard.pages failed: The extractor raised ValueError: broken" in first
    assert first.startswith(":roots!")
    assert "é" in second
    assert "injected" not in gone


def test_a_taken_nick_is_no_hindrance(serve, end_run, settings):
    port = serve()
    ear = Listener(port, nick="cellar")
    settings.NOTICES = f"irc://127.0.0.1:{port}/ops"
    end_run("broken")

    [channel] = all_channels()
    channel.deliver(Notice.objects.get())
    said = ear.read_until("PRIVMSG")
    ear.close()

    assert said.startswith(":cellar")
    assert not said.startswith(":cellar!")


def test_a_channel_that_refuses_is_a_failure_that_names_the_reason(serve, end_run, settings):
    settings.NOTICES = f"irc://127.0.0.1:{serve('in')}/ops"
    end_run("broken")
    [channel] = all_channels()

    with pytest.raises(NoticeFailed, match="inviteonlychan"):
        channel.deliver(Notice.objects.get())


def test_where_no_server_is_the_notice_fails(end_run, settings):
    settings.NOTICES = "irc://127.0.0.1:9/ops"
    end_run("broken")
    [channel] = all_channels()

    with pytest.raises(NoticeFailed, match="not sent"):
        channel.deliver(Notice.objects.get())
