"""How fast the page recognises speech in a real browser, and what it takes: time, processor time, memory.

    python scripts/docs/browser_page.py build/page tiny
    taskset -c 0 python scripts/bench/browser.py build/page RECORDING... [--model NAME]

Recordings are WAV files, or any that the browser decodes. The time is what the page itself measures (performance.now in
its worker, without what the browser needs to decode other files than WAV); the processor time is that of all processes
of the browser. Needs Chromium, and Playwright from the test dependencies.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

_TICKS = os.sysconf("SC_CLK_TCK")
_STATE = "[...document.querySelectorAll('.card')].map((one) => one.querySelector('.tools').hidden ? null : one.dataset)"


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--model", default="")
    arguments = parser.parse_args()
    for path in arguments.recordings:
        if not path.is_file():
            parser.error(f"{path} is no file")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no chromium is installed", file=sys.stderr)
        return 1
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=arguments.folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    figures: dict[str, Any] = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        before, began = processor_seconds(), time.monotonic()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        wait(page, "document.body.dataset.model !== undefined")
        figures["model"] = choose_model(page, arguments.model)
        ready = processor_seconds()
        figures["ready_seconds"], figures["ready_processor_seconds"] = time.monotonic() - began, ready - before
        # Not from the browser's side of the protocol, which copies large files.
        page.locator("#files").set_input_files([str(path) for path in arguments.recordings])
        wait(page, f"{_STATE}.filter(Boolean).length === {len(arguments.recordings)}", seconds=3600)
        used = processor_seconds() - ready
        cards = [one for one in page.evaluate(_STATE) if one]
        speech, spent = (sum(float(one[name]) for one in cards) for name in ("duration", "seconds"))
        figures |= {
            "recordings": len(cards),
            "speech_seconds": speech,
            "seconds": spent,
            "times_real_time": speech / spent,
        }
        figures |= {"processor_seconds": used, "times_real_time_of_processors": speech / used}
        figures["megabytes_of_largest_process"] = peak_megabytes()
        browser.close()
    server.shutdown()
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):34}{value if isinstance(value, str) else round(value, 1)}")
    print(json.dumps(figures))
    return 0


def choose_model(page: Any, wanted: str) -> str:
    """The name of the model that the page works with: the wanted one, or with no wish the one that it starts with."""
    offered = page.evaluate("[...document.querySelectorAll('#models option')].map((one) => one.value)")
    if wanted and wanted not in offered:
        raise SystemExit(f"the page has no model {wanted}: it has {', '.join(offered)}")
    # A page with one model shows no choice.
    if wanted and wanted != page.evaluate("document.body.dataset.model"):
        page.locator("#models").select_option(wanted)
        wait(page, f"document.body.dataset.model === {wanted!r}")
    return str(page.evaluate("document.body.dataset.model"))


def wait(page: Any, condition: str, seconds: float = 120) -> None:
    """Wait until something holds; the page's policy forbids Playwright's own way."""
    for _ in range(int(5 * seconds)):
        if page.evaluate(condition):
            return
        time.sleep(0.2)
    raise SystemExit(f"never came true: {condition}")


def descendants() -> list[int]:
    """The processes that this one started, and theirs."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    found = [os.getpid()]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def processor_seconds() -> float:
    """What the browser's processes have used so far."""
    total = 0.0
    for process in descendants():
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def peak_megabytes() -> float:
    """The largest resident size that one of the browser's processes had."""
    largest = 0
    for process in descendants():
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            continue
        largest = max([largest, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
    return largest / 1024


if __name__ == "__main__":
    sys.exit(main())
