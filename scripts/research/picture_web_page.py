"""Draws pictures of the page of `asr serve`: transcripts that are corrected, and captions of a microphone.

    asr serve data_dir=corrections &
    python scripts/research/picture_web_page.py http://127.0.0.1:8000 docs/pictures

The server's corrections get some of the samples. Needs Chromium, and Playwright from the test dependencies.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image
from playwright.sync_api import sync_playwright

from asr.audio.load import load_audio

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"
RATE = 16000
SPOKEN, CORRECTED, OTHER = "3170-137482-0005.opus", "422-122949-0004.opus", "2086-149214-0001.opus"
NAMES = {CORRECTED: "self-glorification.opus", OTHER: "good-faith.opus"}
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no chromium is installed", file=sys.stderr)
        return 1
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        sound = Path(scratch) / "microphone.wav"
        speech = load_audio(SAMPLES / SPOKEN, sample_rate=RATE)
        soundfile.write(sound, np.concatenate([np.zeros(RATE // 2), speech, np.zeros(2 * RATE)]), RATE)
        browser = driver.chromium.launch(
            executable_path=chromium,
            args=[
                *("--no-sandbox", "--disable-gpu", "--use-fake-ui-for-media-stream"),
                *("--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={sound}"),
            ],
        )
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    device_scale_factor=1 if size == "wide" else 2,
                )
                for name, take in (("correct", picture_corrected), ("speak", picture_captions)):
                    page.goto(arguments.address)
                    page.wait_for_selector("#inputs", state="visible")
                    image = Image.open(io.BytesIO(take(page)))
                    image.save(arguments.folder / f"web-page-{name}-{size}-{scheme}.webp", quality=80, method=6)
                page.close()
        browser.close()
    return 0


def picture_corrected(page: Any) -> bytes:
    """A recording that is being corrected, and another one."""
    files = [
        {"name": shown, "mimeType": "audio/ogg", "buffer": (SAMPLES / name).read_bytes()}
        for name, shown in NAMES.items()
    ]
    page.locator("#files").set_input_files(files)
    page.wait_for_selector(".card:nth-child(2) .tools", state="visible", timeout=60_000)
    page.locator(".text").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+End")
    page.keyboard.press("Control+Shift+ArrowLeft")
    page.keyboard.type("glorification")
    page.keyboard.press("Alt+ArrowDown")
    page.wait_for_timeout(300)
    content: bytes = page.screenshot()
    page.keyboard.press("Control+s")
    page.wait_for_selector(".card .save:disabled", timeout=60_000)
    page.wait_for_timeout(3000)
    return content


def picture_captions(page: Any) -> bytes:
    """Captions, of which some text is final and some is not."""
    page.locator("#record").click()
    for _ in range(400):
        page.wait_for_timeout(50)
        is_some_final = len(page.locator("#final").inner_text()) > 20
        if is_some_final and len(page.locator("#tentative").inner_text()) > 15:
            break
    content: bytes = page.screenshot()
    page.locator("#stop").click()
    page.wait_for_selector(".card .tools", state="visible", timeout=60_000)
    return content


if __name__ == "__main__":
    sys.exit(main())
