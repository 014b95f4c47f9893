"""Draws the picture of a report that the README shows: its head, and one utterance.

    python scripts/research/picture_report.py docs/sample-report/report.html docs/pictures/report.png

Needs Chromium, and Playwright from the test dependencies.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, GAP = 1100, 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--utterance", type=int, default=3, help="which of the list is shown (default 3)")
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no chromium is installed", file=sys.stderr)
        return 1
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": 900},
            color_scheme="dark" if arguments.dark else "light",
            device_scale_factor=1.5,
        )
        page.goto(arguments.page.resolve().as_uri())
        utterance = page.locator("article").nth(arguments.utterance - 1)
        utterance.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        parts = [page.locator("header"), page.locator("#systems"), utterance]
        images = [Image.open(io.BytesIO(part.screenshot())) for part in parts]
        browser.close()
    backdrop = images[0].getpixel((images[0].width - 1, 0))
    size = (images[0].width + 2 * GAP, sum(image.height + GAP for image in images) + GAP)
    whole, top = Image.new("RGB", size, backdrop), GAP
    for image in images:
        whole.paste(image, (GAP, top))
        top += image.height + GAP
    whole.quantize(128).save(arguments.picture, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
