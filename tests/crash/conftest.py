"""A fork server for the tests beside the harness, and homes with an empty database."""

import shutil
from pathlib import Path

import pytest

from .victims import Forks


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    with Forks(tmp_path_factory.mktemp("forks")) as forks:
        yield forks


@pytest.fixture(scope="session")
def migrated(forks, tmp_path_factory) -> Path:
    home: Path = tmp_path_factory.mktemp("migrated")
    forks.finish("work:migrate", home)
    return home


@pytest.fixture
def home(migrated, tmp_path) -> Path:
    return Path(shutil.copytree(migrated, tmp_path / "home"))
