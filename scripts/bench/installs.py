"""What installing costs: seconds and megabytes of the base and of extras, each in a fresh environment.

    python scripts/bench/installs.py                          # the base and `train`
    python scripts/bench/installs.py base tune train --python python3.13
    .venv/bin/python scripts/bench/installs.py --here         # the size of the environment that runs this, and no more

Sizes are those of the files that the packages' own lists name, without pip, setuptools and the package itself, which is
counted apart: most of it are the models. The last line is JSON. Seconds depend on the network and on pip's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_NOT_COUNTED = {"pip", "setuptools", "uv", "wheel"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", default=["base", "train"], help="base, or names of extras")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the environments")
    parser.add_argument("--here", action="store_true", help="measure the environment that runs this")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(size_of_this_environment()))
        return 0
    print(f"{'':<12}{'seconds':>9}{'core-s':>8}{'packages':>10}{'megabytes':>11}  largest")
    figures = {}
    for extra in arguments.extras:
        figures[extra] = measure(extra, arguments.python)
        one = figures[extra]
        largest = ", ".join(f"{name} {size:.0f}" for name, size in list(one["largest"].items())[:5])
        times = f"{one['seconds']:>9.0f}{one['core_seconds']:>8.0f}"
        print(f"{extra:<12}{times}{one['packages']:>10}{one['megabytes']:>11.0f}  {largest}")
    print(json.dumps(figures))
    return 0


def measure(extra: str, python: str) -> dict[str, Any]:
    """Install the base or an extra into an environment of its own."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = f"{folder}/bin/python"
        what = str(ROOT) if extra == "base" else f"{ROOT}[{extra}]"
        begun, before = time.perf_counter(), os.times()
        subprocess.run([inside, "-m", "pip", "install", "--quiet", what], check=True, stderr=subprocess.DEVNULL)
        seconds, after = time.perf_counter() - begun, os.times()
        core_seconds = sum(after[2:4]) - sum(before[2:4])
        said = subprocess.run([inside, __file__, "--here"], check=True, capture_output=True, text=True, cwd=folder)
        return {"seconds": seconds, "core_seconds": core_seconds, **json.loads(said.stdout)}


def size_of_this_environment() -> dict[str, Any]:
    """Number and megabytes of the packages that can be imported here, and the largest of them."""
    sizes = {}
    for one in distributions():
        files = (Path(str(one.locate_file(file))) for file in one.files or [])
        sizes[one.metadata["Name"]] = sum(path.stat().st_size for path in files if path.is_file()) / 1e6
    own = sizes.pop("asr", 0.0)
    counted = {name: size for name, size in sizes.items() if name not in _NOT_COUNTED}
    largest = dict(sorted(counted.items(), key=lambda pair: -pair[1])[:10])
    return {"packages": len(counted), "megabytes": sum(counted.values()), "asr_megabytes": own, "largest": largest}


if __name__ == "__main__":
    sys.exit(main())
