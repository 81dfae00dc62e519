"""The docs say what is there: commands and options, settings, checks, sources, words, links."""

import argparse
import ast
import re
from functools import cache
from pathlib import Path

import pytest
from django.conf import global_settings
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ["etl", "api", "warehouse", "reshape", "ingest", "raw_store"]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])
SOURCES = sorted(path.parent for path in ROOT.glob("sources/*/apps.py"))
CODE = sorted(
    path
    for package in [*ENGINE, "sources"]
    for path in (ROOT / package).rglob("*.py")
    if not {"migrations", "source_template", "__pycache__"} & set(path.parts)
)
# Django's own options, the same for every command.
SHARED_OPTIONS = {
    option
    for action in BaseCommand().create_parser("manage.py", "any")._actions
    for option in action.option_strings
}


def own_commands() -> list[str]:
    ours = (*ENGINE, "sources.")
    return sorted(name for name, app in get_commands().items() if str(app).startswith(ours))


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Long options and subcommands, those of subcommands included."""
    found = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, subparser in action.choices.items():
                found |= {name} | options_of(subparser)
        found |= {option for option in action.option_strings if option.startswith("--")}
    return found - SHARED_OPTIONS


@pytest.mark.parametrize("name", own_commands())
def test_a_command_is_described_with_its_options(name):
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    described = section_of(ROOT / "docs" / "commands.md", name)

    missing = [option for option in sorted(options_of(parser)) if option not in words(described)]

    assert described, f"docs/commands.md has no section headed `{name}`."
    assert missing == []


def test_no_command_is_described_that_does_not_exist():
    headings = re.findall(r"^## `([a-z_]+)", (ROOT / "docs" / "commands.md").read_text(), re.M)

    assert [name for name in headings if name not in get_commands()] == []


def test_every_environment_variable_is_described():
    described = (ROOT / "docs" / "operations.md").read_text()

    missing = [name for name in environment_variables() if f"`{name}`" not in described]

    assert missing == []


def test_every_described_environment_variable_is_read_somewhere():
    rows = re.findall(
        r"^\| `([A-Z][A-Z0-9_]+)` \|", (ROOT / "docs" / "operations.md").read_text(), re.M
    )
    read = set(environment_variables())
    # These are read by make and by the S3 client.
    elsewhere = {"HOST", "PORT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}

    assert rows
    assert [name for name in rows if name not in read | elsewhere] == []


def test_every_setting_of_our_own_is_described():
    described = (ROOT / "docs" / "operations.md").read_text()
    used = {
        name
        for path in CODE
        for name in re.findall(r"\bsettings\.([A-Z][A-Z_]+)\b", path.read_text())
        if not hasattr(global_settings, name)
    }

    assert used
    assert [name for name in sorted(used) if f"`{name}`" not in described] == []


def test_every_system_check_is_described():
    described = "\n".join(path.read_text() for path in PAGES)
    ids = {
        found
        for path in CODE
        for found in re.findall(r"\"((?:\w+\.)+[EWI]\d{3})\"", path.read_text())
    }

    assert [each for each in sorted(ids) if f"`{each}`" not in described] == []


@pytest.mark.parametrize("folder", SOURCES, ids=lambda folder: folder.name)
def test_a_source_is_described_where_it_lives_and_in_the_index(folder):
    index = (ROOT / "docs" / "README.md").read_text()

    assert (folder / "README.md").is_file()
    assert f"(../sources/{folder.name}/README.md)" in index


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()

    missing = [page.name for page in ROOT.glob("docs/*.md") if f"({page.name})" not in index]

    assert missing == ["README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    broken = []
    for target in re.findall(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        if not linked.exists() or (anchor and anchor not in anchors_of(linked)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_a_page_names_exists(page):
    named = re.findall(
        r"`((?:etl|api|warehouse|reshape|ingest|raw_store|sources|tests|docs|bench|requirements)"
        r"/[\w./]+\.\w+)`",
        page.read_text(),
    )

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_function_the_walk_names_is_where_it_says():
    walk = (ROOT / "docs" / "walk.md").read_text()
    named = re.findall(r"`([\w./]+\.py)`: `([\w.]+)`", walk)

    missing = [
        f"{path}: {name}"
        for path, name in named
        if name.rpartition(".")[2] not in definitions_in(ROOT / path)
    ]

    assert len(named) >= 8
    assert missing == []


def test_every_make_command_a_page_shows_is_a_target():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    shown = {
        name
        for page in PAGES
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), re.S)
        for name in re.findall(r"^(?:\$ )?make ([a-z]+)", block, re.M)
    } | {name for page in PAGES for name in re.findall(r"`make ([a-z]+)[^`]*`", page.read_text())}

    assert shown
    assert sorted(shown - targets) == []


def test_every_command_a_page_shows_exists():
    known = set(get_commands())
    shown = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"manage\.py ([a-z_]+)", page.read_text())
    }

    assert shown
    assert sorted(each for each in shown if each[1] not in known) == []


def test_the_glossary_keeps_one_word_for_one_meaning():
    rows = re.findall(
        r"^\| \*\*(.+?)\*\* \| (.+?) \| (.+?) \|$",
        (ROOT / "docs" / "glossary.md").read_text(),
        re.M,
    )
    terms = [term for term, _, _ in rows]
    # Each stage and each thing that crosses between stages has a word.
    needed = {
        "source", "feed", "fetch", "run", "payload", "archive", "segment", "seal", "revisit",
        "version", "transform", "record", "link", "held", "quarantine", "replay", "model", "load",
        "rollup", "build", "publish", "watermark",
    }  # fmt: skip

    assert len(terms) == len(set(terms))
    assert needed <= set(terms)


def section_of(page: Path, command: str) -> str:
    found = re.search(rf"^## `{command}\b.*?(?=^## |\Z)", page.read_text(), re.M | re.S)
    return found[0] if found else ""


def words(text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]*|\w[\w-]*", text))


def environment_variables() -> list[str]:
    """Every name that the code reads from the environment, by any of the ways it does so."""
    found = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            name: ast.expr | None = None
            if isinstance(node, ast.Call) and node.args and reads_environment(node):
                name = node.args[0]
            elif isinstance(node, ast.Subscript) and "environ" in ast.unparse(node.value):
                name = node.slice
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                found.add(name.value)
    return sorted(found - {"DJANGO_SETTINGS_MODULE"})


def reads_environment(call: ast.Call) -> bool:
    function = ast.unparse(call.func)
    return bool(re.search(r"environ\.(get|pop|setdefault)$|^os\.getenv$|^_flag$|^_list$", function))


@cache
def definitions_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


@cache
def anchors_of(page: Path) -> set[str]:
    """The anchors that a page's headings get, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
