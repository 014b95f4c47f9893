"""The page in a real browser, from a plain server of files: files, the microphone, downloads, and what it asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr import load_bundle, write
from asr.audio.load import load_audio
from asr.browser.site import write_site
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import BeamConfig
from asr.settings.model import EngineKind
from asr.text.transcript import Transcript

from ..browsers import chromium, until
from ..conftest import RATE, SAMPLES, SHARED_SPEECH
from .conftest import oracle_web_runtime

pytestmark = pytest.mark.slow
SAMPLE, OTHER = SAMPLES / "422-122949-0004.opus", SAMPLES / "3170-137482-0005.opus"
HELD_OUT = SHARED_SPEECH / "librispeech" / "dev-clean-heldout.jsonl"
HOSTILE = "<img src=x onerror=alert(1)>.wav"
LONG_SECONDS = 100


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a folder, as `python -m http.server` serves it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    site = write_site(load_bundle("tiny"), folder, samples=[SAMPLE], runtime=oracle_web_runtime(), about="about.html")
    assert site.bytes < 5e6
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium whose microphone gives a recording, again and again."""
    sound = tmp_path_factory.mktemp("microphone") / "microphone.wav"
    speech = load_audio(SAMPLE, sample_rate=RATE)
    soundfile.write(sound, np.concatenate([np.zeros(RATE), speech, np.zeros(2 * RATE)]), RATE)
    arguments = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with chromium(*arguments, f"--use-file-for-fake-audio-capture={sound}") as browser:
        yield browser


@pytest.fixture
def opened(browser):
    """Opens the page of a folder; a request to elsewhere, an error or a breach of its policy fails the test."""
    complaints, contexts = [], []

    @contextmanager
    def open_page(folder: Path) -> Iterator[object]:
        with serving(folder) as address:
            context = browser.new_context()
            contexts.append(context)
            context.add_init_script(
                "addEventListener('securitypolicyviolation', (one) => console.error('policy', one.violatedDirective))"
            )
            own = (address, "blob:")
            context.on("request", lambda one: None if one.url.startswith(own) else complaints.append(one.url))
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda one: complaints.append(one.text) if one.type in ("error", "warning") else None)
            page.on("websocket", lambda one: complaints.append(one.url))
            page.goto(address)
            until(page, "document.body.dataset.model !== undefined", seconds=60)
            yield page
            context.close()

    yield open_page
    assert complaints == []


def recognise(page, *files, seconds: float = 50) -> list[dict]:
    """Choose files; the text and the words of each."""
    page.locator("#files").set_input_files([one if isinstance(one, dict) else str(one) for one in files])
    until(
        page,
        "count => document.querySelectorAll('.card .tools:not([hidden])').length === count",
        len(files),
        seconds=seconds,
    )
    return page.evaluate(
        "[...document.querySelectorAll('.card')].map((card) => ({name: card.querySelector('h3').textContent, "
        "text: card.querySelector('.text').innerText, "
        "words: [...card.querySelectorAll('.w')].map(({word}) => [word.word, word.start, word.end])}))"
    )


def python_transcripts(bundle: str, paths: list[Path]) -> list[Transcript]:
    """Of the network in float32 and one pass of decoding, as on the page."""
    loaded = load_bundle(bundle)
    decoder = replace(loaded.decoder, second_pass=None) if isinstance(loaded.decoder, BeamConfig) else None
    engine = loaded.engine(EngineKind.onnx_float32)
    with Transcriber(loaded, decoder=decoder, workers=1, engine=engine) as transcriber:
        return list(transcriber.transcribe_files(paths, errors="raise"))


def check(found: list[dict], transcripts: list[Transcript]) -> None:
    assert [one["text"] for one in found] == [one.text for one in transcripts]
    assert [one["words"] for one in found] == [
        [[word.text, word.start, word.end] for word in one.words] for one in transcripts
    ]


def test_files_give_the_texts_of_python_with_their_times(written, opened, write_audio):
    paths = [
        write_audio(name, load_audio(path, sample_rate=RATE), rate=RATE)
        for name, path in (("first.wav", SAMPLE), (HOSTILE, OTHER))
    ]
    speech = np.concatenate([load_audio(path, sample_rate=RATE) for path in sorted(SAMPLES.glob("*.opus"))])
    paths.append(write_audio("long.wav", np.resize(speech, LONG_SECONDS * RATE), rate=RATE))
    transcripts = python_transcripts("tiny", paths)
    with opened(written) as page:
        page.context.set_offline(True)  # what it needs is there
        check(recognise(page, *paths), transcripts)
        for kind in ("txt", "srt", "vtt", "json"):
            with page.expect_download() as waiting:
                page.locator(f".download[data-format={kind}]").first.click()
            content = waiting.value.path().read_text("utf-8")
            if kind == "json":
                assert json.loads(content)["segments"] == json.loads(write(transcripts[0], "json"))["segments"]
            else:
                assert content == write(transcripts[0], kind)
        assert "real time" in page.locator(".facts").first.inner_text()


def test_what_the_browser_decodes_is_recognised_and_what_it_cannot_is_said(written, opened, tmp_path):
    broken = {"name": "broken.mp3", "mimeType": "audio/mpeg", "buffer": b"no sound at all"}
    with opened(written) as page:
        page.locator("#sample-list button").click()
        until(page, "document.querySelectorAll('.card .tools:not([hidden])').length === 1", seconds=50)
        assert len(page.locator(".text").inner_text()) > 40
        page.locator("#files").set_input_files([broken])
        until(page, "document.querySelector('.card.failed') !== null", seconds=20)
        assert "cannot read it" in page.locator(".card.failed .status").inner_text()
        assert page.locator("#about").get_attribute("href") == "about.html"


def test_a_word_that_is_clicked_plays_from_there(written, opened):
    with opened(written) as page:
        recognise(page, SAMPLE)
        page.locator(".w").nth(5).click()
        until(page, "document.querySelector('.card').classList.contains('playing')")
        start = page.evaluate("document.querySelectorAll('.w')[5].word.start")
        assert abs(float(page.locator(".seek").input_value()) - start) < 2


def test_speech_is_shown_while_it_is_spoken(written, opened):
    (transcript,) = python_transcripts("tiny", [SAMPLE])
    with opened(written) as page:
        page.locator("#record").click()
        until(page, "document.querySelector('#tentative').textContent.length > 8", seconds=40)
        until(page, "document.querySelector('#final').textContent.length > 20", seconds=40)
        page.locator("#stop").click()
        until(page, "document.querySelectorAll('.card .tools:not([hidden])').length === 1", seconds=40)
        text = page.locator(".text").inner_text()
    assert len({*text.split()} & {*transcript.text.split()}) >= 3


@pytest.mark.parametrize("bundle", ["tiny", pytest.param("en", marks=pytest.mark.thorough)])
def test_a_hundred_recordings_have_the_texts_of_python(opened, tmp_path, bundle):
    if not HELD_OUT.is_file():
        pytest.skip(f"needs the recordings of {HELD_OUT.name}, which are not part of the repository")
    rows = [json.loads(line) for line in HELD_OUT.read_text().splitlines()][::4][:100]
    paths = []
    for row in rows:
        paths.append(tmp_path / f"{Path(row['audio_filepath']).stem}.wav")
        soundfile.write(paths[-1], load_audio(HELD_OUT.parent / row["audio_filepath"], sample_rate=RATE), RATE)
    transcripts = python_transcripts(bundle, paths)
    folder = tmp_path / "site"
    site = write_site(load_bundle(bundle), folder, runtime=oracle_web_runtime())
    assert site.bytes < {"tiny": 5e6, "en": 40e6}[bundle]
    with opened(folder) as page:
        check(recognise(page, *paths, seconds=300), transcripts)
