"""The repository itself: pinned requirements, no machine's own paths, layers, names, lengths."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

LONGEST_FILE = 450
NAMES_THAT_SAY_NOTHING = {"utils", "helpers", "helper", "common", "base", "manager", "misc", "util"}
# Django's own module name for a model's managers is `managers`; it is not in the list above.

TRACKED = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    capture_output=True,
    check=True,
).stdout.decode()
FILES = [ROOT / name for name in TRACKED.split("\0") if name and (ROOT / name).is_file()]
PYTHON = [path for path in FILES if path.suffix == ".py" and "source_template" not in path.parts]
WRITTEN = [path for path in PYTHON if "migrations" not in path.parts]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_every_requirement_is_pinned_and_hashed(name):
    lines = text_of(ROOT / "requirements" / name).replace("\\\n", " ").splitlines()
    requirements = [line for line in lines if line.strip() and not line.strip().startswith("#")]

    loose = [
        line.split()[0]
        for line in requirements
        if not re.match(r"[A-Za-z0-9._\-\[\]]+==\S+", line) or "--hash=sha256:" not in line
    ]

    assert requirements
    assert loose == []


def test_every_dependency_asked_for_is_pinned():
    for name in ("run", "dev"):
        asked = [
            re.split(r"[\[~=<>;]", line)[0].strip().lower()
            for line in text_of(ROOT / "requirements" / f"{name}.in").splitlines()
            if line.strip() and not line.startswith(("#", "-"))
        ]
        pinned = set(
            re.findall(r"^([a-z0-9._-]+)==", text_of(ROOT / "requirements" / f"{name}.txt"), re.M)
        )

        assert [each for each in asked if each not in pinned] == [], "Run `make pins`."


def test_every_dependency_says_why_it_earns_its_place():
    reasons = text_of(ROOT / "docs" / "decisions" / "0020-dependencies.md")
    asked = {
        re.split(r"[\[~=<>;]", line)[0].strip()
        for name in ("run.in", "dev.in")
        for line in text_of(ROOT / "requirements" / name).splitlines()
        if line.strip() and not line.startswith(("#", "-"))
    }

    assert [name for name in sorted(asked) if f"`{name}`" not in reasons] == []


def test_no_file_names_a_package_host_or_a_place_on_one_machine():
    # Written in two halves so that this file does not match itself.
    forbidden = re.compile(
        "|".join(
            [
                r"--(extra-)?index" + r"-url",
                "pypi" + r"\.org",
                "python" + r"hosted\.org",
                "npm" + r"js\.(org|com)",
                "deb" + r"ian\.org",
                r"(?<![\w.])/wo" + r"rk/",
                r"(?<![\w.])/r" + r"oot/",
                r"(?<![\w.])/ho" + r"me/\w+/",
            ]
        )
    )

    found = [
        f"{relative(path)}: {match[0]}"
        for path in FILES
        if (match := forbidden.search(text_of(path))) and path.suffix not in {".xz", ".parquet"}
    ]

    assert found == []


def test_the_layers_hold():
    linted = subprocess.run(
        [BIN / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )

    assert linted.returncode == 0, linted.stdout


def test_the_archive_renders_nothing_over_http():
    # import-linter cannot forbid part of a package from outside, so Django's views are asked here.
    found = [
        f"{relative(path)}: {name}"
        for path in WRITTEN
        if path.is_relative_to(ROOT / "raw_store")
        for name in imports_of(path)
        if name.startswith(("django.views", "django.http", "django.urls"))
    ]

    assert found == []


def test_every_module_opens_by_saying_what_it_holds():
    silent = [
        relative(path)
        for path in WRITTEN
        if text_of(path).strip() and not path_is_a_declaration(path) and not docstring_of(path)
    ]

    assert silent == []


def test_no_module_is_longer_than_a_reader_s_patience():
    long = [
        f"{relative(path)}: {count} lines"
        for path in WRITTEN
        if (count := len(text_of(path).splitlines())) > LONGEST_FILE
    ]

    assert long == []


def test_no_module_is_named_for_nothing_in_particular():
    vague = [relative(path) for path in PYTHON if path.stem in NAMES_THAT_SAY_NOTHING]

    assert vague == []


def test_every_package_has_one_root_of_errors():
    roots = {}
    for path in WRITTEN:
        if path.name == "errors.py":
            classes = [
                node for node in ast.parse(text_of(path)).body if isinstance(node, ast.ClassDef)
            ]
            own = {node.name for node in classes}
            roots[relative(path)] = [
                node.name
                for node in classes
                if not any(isinstance(base, ast.Name) and base.id in own for base in node.bases)
            ]

    assert {name: found for name, found in roots.items() if len(found) != 1} == {}


def test_compose_takes_every_secret_from_the_environment_and_publishes_on_loopback_only():
    compose = yaml.safe_load(text_of(ROOT / "docker-compose.yml"))
    ports = [port for each in compose["services"].values() for port in each.get("ports", [])]
    secrets = [
        (key, value)
        for each in compose["services"].values()
        for key, value in each.get("environment", {}).items()
        if re.search("PASSWORD|SECRET|ACCESS_KEY", key)
    ]

    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert secrets
    assert [key for key, value in secrets if not re.fullmatch(r"\$\{\w+:\?[^}]+\}", value)] == []


def test_compose_runs_two_extractor_shards_that_together_are_everything():
    services = yaml.safe_load(text_of(ROOT / "docker-compose.yml"))["services"]

    shards = sorted(each["environment"]["SHARD"] for each in services.values() if is_shard(each))

    assert shards == ["1/2", "2/2"]


def test_ci_runs_what_the_developer_runs():
    script = text_of(ROOT / ".ci" / "run")

    assert "make check" in script
    assert "make test" in script
    assert "manage.py demo --once" in script


def test_bare_make_lists_every_command():
    targets = re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.M)

    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert [name for name in targets if not re.search(rf"^{name}\s+\S", listed, re.M)] == []


def is_shard(service) -> bool:
    return "SHARD" in service.get("environment", {})


def docstring_of(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(text_of(path)))


def path_is_a_declaration(path: Path) -> bool:
    """An app's AppConfig and an empty package say nothing but their names."""
    return path.name == "apps.py"


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
