"""Act as if a module's file had been edited, while the file stays as it is.

The edited copy is a real file, imported under the module's own name, so its
transforms replace the present ones in the registry and have fingerprints of their own.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def edited(name: str, old: str, new: str) -> Iterator[list[str]]:
    """Within the block the module `name` reads `new` in place of `old`; gives the changed lines."""
    module = importlib.import_module(name)
    path = Path(str(module.__file__))
    before = path.read_text()
    if before.count(old) != 1:
        raise ValueError(f"{path.name} must hold {old!r} exactly once for the demo to edit it.")
    after = before.replace(old, new)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_text(after)
        try:
            _import(name, copy)
            changes = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
            yield [line for line in changes if not line.startswith(("---", "+++", "@@"))]
        finally:
            sys.modules[name] = module
            importlib.reload(module)


def _import(name: str, path: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported as {name}.")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
