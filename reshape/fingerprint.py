"""The identity of a transform: its code and the columns it fills.

Record files are kept per fingerprint, so a changed transform parses again and an
unchanged one never does. Comments, docstrings and formatting do not count.
"""

import ast
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import apps

from raw_store.parsing import PARSER_FORMAT

if TYPE_CHECKING:
    from .registry import Transform

RECORD_FORMAT = 2
"""Part of every fingerprint: raised when record files change, or what is written for a value."""


def fingerprint(transform: "Transform") -> str:
    """Return 16 hex digits that change with the transform's code or its source's columns.

    Columns are those of all derived models of the transform's source.
    """
    from .columns import columns_of
    from .lists import kind_of, limit_of, reaches_out
    from .models import derived_models

    digest = hashlib.sha256(f"{RECORD_FORMAT} {transform.name} {transform.feed}".encode())
    digest.update(transform.code_digest.encode())
    digest.update(f" parsers {PARSER_FORMAT}".encode())
    if transform.bad_rows != "payload":
        digest.update(f"\nbad_rows {transform.bad_rows}".encode())
    for model in derived_models(transform.source):
        columns = columns_of(model)
        digest.update(f"\n{model._meta.db_table} {columns.key} {columns.schema}".encode())
        for column in columns.given:
            digest.update(f"\n{column.name} {column.default!r} {column.field.max_length}".encode())
            if kind := kind_of(column):
                digest.update(f" {kind}".encode())
            if reaches_out(column):
                digest.update(f" {column.arrow} {limit_of(column)}".encode())
        if columns.merges_fields:
            digest.update(b"\nmerges fields")
    return digest.hexdigest()[:16]


def code_digest(function: Callable[..., Any]) -> str:
    """Return the digest of a function's module and the modules of its source it imports.

    Taken when the transform is declared: what a long-running process executes is the
    code it imported, whatever the file says by now.
    """
    if own := getattr(function, "code_digest", None):
        return str(own)  # a statement in SQL: it knows its own text
    digest = hashlib.sha256()
    for name, code in sorted(_code(function).items()):
        digest.update(f"\n{name}\n{code}".encode())
    return digest.hexdigest()


def _code(function: Callable[..., Any]) -> dict[str, str]:
    """Module name → its code without comments and docstrings; transitively."""
    start = function.__module__
    package = _package(start)
    found: dict[str, str] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _path(name)
        if path is None:
            found[name] = inspect.getsource(function)
            continue
        tree = ast.parse(path.read_bytes())
        _drop_docstrings(tree)
        found[name] = ast.dump(tree)
        is_package = path.name == "__init__.py"
        for imported in _imports(tree, name if is_package else name.rpartition(".")[0]):
            is_own = imported == package or imported.startswith(f"{package}.")
            if is_own and _path(imported) is not None:
                waiting.append(imported)
    return found


def _package(module: str) -> str:
    """The package of the source that a module belongs to, however deep in it."""
    config = apps.get_containing_app_config(module) if apps.apps_ready else None
    return config.name if config else module.rpartition(".")[0]


def _path(module: str) -> Path | None:
    """The module's source file, or None when there is no such module or no file."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return Path(file) if file and file.endswith(".py") else None
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Every module that an import statement of `tree` may mean, as absolute names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package
            for _ in range(node.level - 1):
                parent = parent.rpartition(".")[0]
            base = ".".join(filter(None, [parent if node.level else "", node.module or ""]))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
