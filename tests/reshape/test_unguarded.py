"""A script that replays without `if __name__ == "__main__":` is told so, and does not hang."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """\
import os
import sys
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.crash.settings"
sys.path.insert(0, {root!r})
import django

django.setup()
from django.conf import settings
from reshape import executors
from tests.reshape.exploding import Charge, explode

settings.PARSE_WORKERS = 2
executors.MEASURED_S, executors.POOL_START_S, executors.HELPS = 0, -1, False
tasks = [Charge(str(number), Path({folder!r})) for number in range(3)]
list(executors.execute(tasks, explode, explode))
"""


def test_a_script_without_the_guard_ends_and_says_what_to_write(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=str(ROOT), folder=str(tmp_path)), encoding="utf-8")

    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )

    assert ended.returncode == 1
    assert f"{script} is imported anew by a process of the pool" in ended.stderr
    assert ended.stderr.rstrip().splitlines()[-1].endswith('`if __name__ == "__main__":`.')
