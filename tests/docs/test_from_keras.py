"""The code of "From Keras", run as it is written."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from ..conftest import REPOSITORY

pytestmark = pytest.mark.slow


def test_own_arrays_and_an_own_loop_become_a_bundle(tmp_path):
    page = (REPOSITORY / "docs" / "from-keras.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "page.py").write_text("\n".join(blocks))
    done = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    losses, _, text = done.stdout.splitlines()
    first, last = map(float, losses.split(" -> "))
    assert last < 0.1 * first
    assert text == "cab"
