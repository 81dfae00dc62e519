"""Settings for the tests: the shipped ones, in a throw-away home folder."""

import atexit
import os
import shutil
import tempfile

# Each process that runs tests has a home of its own; what it starts inherits the variables.
_owner = os.environ.get("PYTEST_XDIST_WORKER", "main")
if os.environ.get("ROOTCELLAR_TEST_HOME_OWNER") != _owner:
    _home = tempfile.mkdtemp(prefix="rootcellar-test-")
    os.environ |= {"ROOTCELLAR_TEST_HOME": _home, "ROOTCELLAR_TEST_HOME_OWNER": _owner}
    atexit.register(shutil.rmtree, _home, ignore_errors=True)

os.environ["ROOTCELLAR_HOME"] = os.environ["ROOTCELLAR_TEST_HOME"]
os.environ["ROOTCELLAR_APPS"] = (
    "tests.sample,tests.corpus.calfire,tests.corpus.pge,tests.api.garden,"
    "tests.port,tests.ferry,tests.tours"
)
# The name that Django's test client asks for is none of the loopback's.
os.environ["ANONYMOUS_READ"] = "everyone"
os.environ["DRAIN_SECONDS"] = "0"
# Origins of tests are on the loopback.
os.environ["ALLOW_PRIVATE"] = "127.0.0.0/8,::1"

from etl.settings import *  # noqa: E402, F403

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    # A file, as users have it: one in memory, shared by threads, locks tables and waits for nobody.
    DATABASES["default"]["TEST"] = {  # noqa: F405
        "NAME": os.path.join(os.environ["ROOTCELLAR_TEST_HOME"], "test.sqlite3")
    }
