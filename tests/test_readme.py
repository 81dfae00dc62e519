"""The README's source, taken from its code blocks and run on a recorded payload."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
RECORDED = ROOT / "tests" / "sources" / "quakes" / "payloads" / "all_day.geojson"
SOURCE = "tremors"

ASK = """
import sys
import django
django.setup()
from django.test import Client
question = {"query": sys.argv[1]}
print(Client(headers={"host": "localhost"}).post(
    "/graphql", question, content_type="application/json"
).content.decode())
"""


def test_the_readme_s_source_answers_what_the_readme_says(tmp_path):
    for path, text in blocks_by_path().items():
        written = tmp_path / Path(path).relative_to("sources")
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(text)
    (tmp_path / SOURCE / "__init__.py").write_text("")
    (tmp_path / SOURCE / "migrations").mkdir()
    (tmp_path / SOURCE / "migrations" / "__init__.py").write_text("")

    run(tmp_path, "manage.py", "makemigrations", SOURCE)
    run(tmp_path, "manage.py", "migrate", "--verbosity", "0")
    run(tmp_path, "manage.py", "archive", "import", "tremors.day", str(RECORDED),
        "--url", feed_url(), "--fetched-at", "2016-11-03T18:45:00Z")  # fmt: skip
    run(tmp_path, "manage.py", "replay", SOURCE)
    answer = json.loads(run(tmp_path, "-c", ASK, block("graphql")).splitlines()[-1])

    assert answer == {"data": json.loads(block("json"))}


def test_the_readme_s_source_is_as_short_as_it_says():
    lines = [
        line
        for text in blocks_by_path().values()
        for line in text.splitlines()
        if line.strip() and not line.startswith(("#", "--", "import", "from"))
    ]

    assert len(blocks_by_path()) == 4
    assert len(lines) <= 35


def test_the_demo_prints_what_the_docs_show_of_it(tmp_path):
    printed = run(tmp_path, "manage.py", "demo", "--once")

    for page in ("README.md", "docs/demo.md"):
        for shown in re.findall(r"```text\n(.*?)```", (ROOT / page).read_text(), re.S):
            for part in re.split(r"^…\n", shown, flags=re.M):
                assert part in printed, page


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    assert len(found) == 1, f"The README has {len(found)} blocks of {language}, not one."
    return str(found[0])


def blocks_by_path() -> dict[str, str]:
    """The blocks whose first line is a comment that names their file, without that line."""
    return dict(re.findall(r"```\w+\n(?:#|--) (sources/\S+)\n(.*?)```", README, re.S))


def feed_url() -> str:
    found = re.search(r"client\.get\(\"(\S+?)\"\)", README)
    assert found
    return found[1]


def run(folder: Path, *arguments: str) -> str:
    """Run Python as someone with a new home would, with the README's source if it is there."""
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "etl.settings",
        "ROOTCELLAR_HOME": str(folder / "home"),
        "ROOTCELLAR_APPS": SOURCE if (folder / SOURCE).exists() else "",
        "DATABASE_URL": "",
        "ARCHIVE_URL": "",
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
