"""`manage.py sql`: one line, a file, standard input, and the prompt on a real terminal."""

import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from warehouse.build import make_build
from warehouse.prompt import is_complete
from warehouse.publish import publish

from .conftest import Rollups

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def published(home):
    rollups = Rollups(home)
    rollups.write("quakes", "-- One row for each.\nSELECT code, magnitude FROM quakes_quake")
    copy = rollups.copy_quakes(("a", "2024-05-01 10:00Z", 4.5), ("bb", "2024-05-01 10:00Z", None))
    inside = home / "warehouse" / "quakes.parquet"
    inside.parent.mkdir(parents=True)
    copy.rename(inside)
    publish(make_build(rollups.plan(), {"quakes_quake": inside}))
    return home


def sql(*arguments, **options):
    return call_command("sql", *arguments, **options)


def test_rows_are_shown_as_a_table_with_numbers_to_the_right(published, capsys):
    sql("-c", "SELECT * FROM quakes ORDER BY code")

    table = capsys.readouterr().out
    assert [line.split(" │ ")[1:] for line in table.splitlines() if " │ " in line] == [
        ["code", "magnitude"],
        ["a   ", "      4.5"],
        ["bb  ", "     NULL"],
    ]
    assert table.endswith("(2 rows)\n")


def test_rows_come_as_csv(published, capsys):
    sql("-c", "SELECT code, magnitude, 'a,\"b\"' AS t FROM quakes ORDER BY code", "--format", "csv")

    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["code", "magnitude", "t"],
        ["a", "4.5", 'a,"b"'],
        ["bb", "", 'a,"b"'],
    ]


def test_rows_come_as_json(published, capsys):
    statement = (
        "SELECT code, magnitude, [1] AS l, {'a': 'nan'::DOUBLE} AS s, 'NaN' AS t, "
        "DATE '2024-05-01' AS day, '{\"k\": null}'::JSON AS j, 1 AS code FROM quakes ORDER BY 1"
    )
    sql("-c", statement, "--format", "json")

    assert json.loads(capsys.readouterr().out) == [
        {
            "code": code,
            "magnitude": magnitude,
            "l": [1],
            "s": {"a": None},
            "t": "NaN",
            "day": "2024-05-01",
            "j": {"k": None},
            "code_2": 1,
        }
        for code, magnitude in (("a", 4.5), ("bb", None))
    ]


def test_no_rows_are_an_empty_list(published, capsys):
    sql("-c", "SELECT * FROM quakes WHERE false", "--format", "json")

    assert json.loads(capsys.readouterr().out) == []


def test_a_long_table_is_cut_and_says_so(published, capsys):
    sql("-c", "FROM range(100)", "--rows", "3")

    assert capsys.readouterr().out.endswith("    2\n(the first 3 rows; there are more)\n")


def test_csv_has_every_row(published, capsys):
    sql("-c", "FROM range(20000)", "--rows", "3", "--format", "csv")

    assert len(capsys.readouterr().out.splitlines()) == 20001


def test_text_from_the_web_cannot_command_the_terminal(published, capsys):
    sql("-c", "SELECT 'a' || chr(27) || '[2J' || chr(10) || repeat('x', 100) AS t")

    assert re.search(r"\na \[2J x{50,60}…\n", capsys.readouterr().out)


def test_several_statements_run_in_turn(published, capsys):
    sql("-c", "SELECT 1 AS one; SELECT 2 AS two;", "--format", "csv")

    assert capsys.readouterr().out == "one\n1\ntwo\n2\n"


def test_a_file_is_run(published, tmp_path, capsys):
    path = tmp_path / "question.sql"
    path.write_text("-- How many?\nSELECT count(*) AS n\nFROM quakes;\n")

    sql("-f", str(path), "--format", "csv")

    assert capsys.readouterr().out == "n\n2\n"


def test_a_missing_file_is_named(published):
    with pytest.raises(CommandError, match=r"nowhere\.sql cannot be read"):
        sql("-f", "nowhere.sql")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT * FROM quake", "Did you mean"),
        ("SELEC 1", "syntax error"),
        ("DROP TABLE quakes", "is refused"),
        ("SELECT 1; COPY quakes TO 'x'", "is refused"),
    ],
)
def test_what_fails_is_an_error_of_the_command(published, capsys, statement, message):
    with pytest.raises(CommandError, match=message):
        sql("-c", statement)

    assert capsys.readouterr().out == ""


def test_a_statement_has_so_much_time(published):
    with pytest.raises(CommandError, match=r"stopped after 0\.2 s"):
        sql("-c", "SELECT count(*) FROM range(1000000) a, range(1000000) b", "--timeout", "0.2")


def test_before_the_first_build_it_says_what_to_do(home, capsys):
    sql("-c", "SELECT count(*) AS n FROM sample_book", "--format", "csv")

    output, error = capsys.readouterr()
    assert output == "n\n0\n"
    assert "run `manage.py replay` first" in error


def test_a_statement_is_complete_at_its_semicolon():
    assert is_complete("SELECT 1;")
    assert is_complete("SELECT ';' ; -- done")
    assert is_complete("-- only a comment")
    assert not is_complete("SELECT 1")
    assert not is_complete("SELECT ';")
    assert not is_complete("SELECT 1 -- ;")
    assert not is_complete('SELECT 1 AS "a;')
    assert not is_complete("SELECT $$ a;")


def child(home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "ROOTCELLAR_HOME": str(home),
        "ARCHIVE_URL": str(home / "archive"),
        "DJANGO_SETTINGS_MODULE": "etl.settings",
        "TERM": "dumb",
    }


def test_statements_come_from_standard_input_and_the_exit_status_tells(published):
    def run(given: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "manage.py", "sql", "--format", "csv"],
            input=given,
            cwd=ROOT,
            env=child(published),
            capture_output=True,
            text=True,
            timeout=60,
        )

    right, wrong = run("SELECT count(*) AS n\nFROM quakes"), run("SELECT * FROM nothing")

    assert (right.returncode, right.stdout) == (0, "n\n2\n")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("CommandError: Catalog Error")


def test_a_reader_that_has_enough_is_no_error(published):
    ran = subprocess.run(
        [
            "bash",
            "-c",
            f"set -o pipefail; {sys.executable} manage.py sql -c 'FROM range(100000000)' "
            "--format csv | head -n 2",
        ],
        cwd=ROOT,
        env=child(published),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "range\n0\n", "")


class Terminal:
    """`manage.py sql` on a terminal of its own."""

    def __init__(self, home: Path) -> None:
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execve(sys.executable, [sys.executable, "manage.py", "sql"], child(home))
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def expect(self, text: str, seconds: float = 30) -> str:
        """Wait until the text is shown, and return what was shown up to it."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            ready, _, _ = select.select([self.descriptor], [], [], end - time.monotonic())
            assert ready, f"{text!r} is not in {self.shown!r}"
            self.shown += os.read(self.descriptor, 65536).decode()
        before, _, self.shown = self.shown.partition(text)
        return before

    def end(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(published):
    terminal = Terminal(published)
    yield terminal
    try:
        os.kill(terminal.pid, signal.SIGKILL)
        os.waitpid(terminal.pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # It ended by itself, as it should.
    os.close(terminal.descriptor)


def test_the_prompt(terminal, published):
    terminal.expect(".help says what you can do.")
    terminal.expect("sql> ")

    terminal.type("SELECT count(*) AS how_many\n")
    terminal.expect("...> ")
    terminal.type("FROM quakes;\n")
    terminal.expect("(1 row)")
    terminal.expect("sql> ")

    terminal.type(".tables\n")
    assert "One row for each." in terminal.expect("sql> ")
    terminal.type(".schema quakes\n")
    assert re.search(r"magnitude +DOUBLE", terminal.expect("sql> "))
    terminal.type(".schema quake\n")
    terminal.expect("There is no table quake. Closest first: quakes")
    terminal.type(".format json\n")
    terminal.type("SELECT 1 AS n;\n")
    terminal.expect('[{"n": 1}]')
    terminal.type(".nonsense\n")
    terminal.expect("There is no .nonsense")
    terminal.type("DROP TABLE quakes;\n")
    terminal.expect("is refused")
    terminal.type("SELECT * FROM nothing;\n")
    terminal.expect("Catalog Error")
    terminal.expect("sql> ")

    terminal.type("\x04")
    assert terminal.end() == 0
    assert "FROM quakes;" in (published / "sql_history").read_text()


def test_ctrl_c_stops_the_statement_and_not_the_session(terminal):
    terminal.expect("sql> ")
    for statement in (
        "SELECT count(*) FROM range(1000000) a, range(1000000) b;\n",
        "EXPLAIN ANALYZE SELECT count(*) FROM range(1000000) a, range(1000000) b;\n",
    ):
        terminal.type(statement)
        terminal.expect("b;\r\n")
        time.sleep(1.5)

        terminal.type("\x03")

        # Unless it was stopped, it would run for hours.
        terminal.expect("sql> ")

    terminal.type("SELECT half")
    terminal.expect("half")
    # Python misses a Ctrl-C in the microseconds between a letter and its waiting for the next.
    time.sleep(0.5)
    terminal.type("\x03")
    terminal.expect("sql> ")
    terminal.type("SELECT 40 + 2 AS answer;\n")
    terminal.expect("42")


def test_a_session_goes_over_to_a_new_build(terminal, published):
    terminal.expect("sql> ")
    (published / "more").mkdir()
    rollups = Rollups(published / "more")
    rollups.warehouse = published / "warehouse"
    rollups.write("more", "SELECT 77 AS n")
    publish(rollups.build())

    terminal.type("FROM more;\n")

    terminal.expect("77")
