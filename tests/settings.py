"""Settings for the tests: the shipped ones, in a throw-away home folder."""

import atexit
import os
import shutil
import tempfile

if "ROOTCELLAR_TEST_HOME" not in os.environ:
    # Child processes of a test inherit the variable, and with it the same home.
    _home = tempfile.mkdtemp(prefix="rootcellar-test-")
    os.environ["ROOTCELLAR_TEST_HOME"] = _home
    atexit.register(shutil.rmtree, _home, ignore_errors=True)

os.environ["ROOTCELLAR_HOME"] = os.environ["ROOTCELLAR_TEST_HOME"]
os.environ["ROOTCELLAR_APPS"] = (
    "tests.sample,tests.corpus.calfire,tests.corpus.pge,tests.api.garden"
)

from etl.settings import *  # noqa: F403
