"""The page of an evaluation, in a real browser where there is one."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import asr
from asr.audio.features import LogMel
from asr.audio.opus import opus_content
from asr.bundle import load_bundle
from asr.corpus.manifest import Utterance
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.render.media import Medium, draw_frames, write_media
from asr.evaluation.render.page import render_page
from asr.evaluation.report import make_report
from asr.evaluation.report_json import report_object
from asr.evaluation.sources import Output, Spike, System
from asr.settings.features import FeatureConfig
from asr.settings.text import NormalizerConfig
from asr.text.transcript import Word

from ..browsers import chromium, until
from ..conftest import SAMPLES

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> &amp; \u2028"
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "then", "it", "sleeps"]

SPIKES = (Spike(0.2, "t", 0.9), Spike(0.3, " ", 0.4))


def make(count: int, folder: Path | None = None, log_mel=None, write_audio=None, spikes=SPIKES):
    """A report of two systems on some utterances, and the page's media if a folder for them is given."""
    rng = np.random.default_rng(1)
    utterances, ours, theirs = [], [], []
    for number in range(count):
        words = list(rng.choice(WORDS, 12))
        hypothesis = [word for word in words if rng.random() > 0.1]
        if rng.random() < 0.3:
            hypothesis[0] = "wrong"
        audio = write_audio(f"audio/{number}.wav", seconds=1.5) if write_audio else Path()
        utterances.append(
            Utterance(
                f"utt-{number:04d}", audio, " ".join(words), 1.5, f"s{number % 10}", "", {"accent": "xy"[number % 2]}
            )
        )
        timed = [
            Word(word, 0.1 * place, 0.1 * place + 0.09, 0.5 + rng.random() / 2) for place, word in enumerate(hypothesis)
        ]
        ours.append(Output(" ".join(hypothesis), tuple(timed), spikes))
        theirs.append(Output(" ".join(words[1:])))
    utterances[0] = Utterance(
        "<b>hostile</b>", utterances[0].audio_path, HOSTILE, 1.5, "<i>s0</i>", "", {"accent": HOSTILE}
    )
    ours[0] = Output(HOSTILE + " more")
    policy = ScoringPolicy(NormalizerConfig(lowercase=False, strip_punctuation=False))
    systems = [System("ours <u>", ours), System("theirs", theirs)]
    report = make_report(utterances, systems, policy, references=["test.jsonl"])
    if folder is None:
        return report, []
    folder.mkdir(exist_ok=True)
    return report, list(write_media(utterances, folder, log_mel))


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page from disk; whatever it complains of fails the test."""
    complaints, pages = [], []

    def open_page(text: str, **options):
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        page = browser.new_page(**options)
        pages.append(page)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
        page.goto(path.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


def test_the_page_shows_the_numbers_of_the_report(opened):
    report, _ = make(40)
    page = opened(render_page(report))
    for system, row in zip(
        report_object(report)["systems"], page.locator("#systems tbody tr[data-system]").all(), strict=True
    ):
        assert row.get_attribute("data-system") == system["name"]
        cells = row.locator("td").all_inner_texts()
        words = system["words"]
        assert cells[0] == f"{100 * words['rate']:.2f} %"
        assert cells[1] == f"{100 * words['intervals'][0]['low']:.2f} to {100 * words['intervals'][0]['high']:.2f} %"
        assert cells[2] == f"{100 * system['characters']['rate']:.2f} %"
        assert cells[3:6] == [str(words[name]) for name in ("substitutions", "deletions", "insertions")]
    assert page.locator("h1").inner_text() == f"{100 * report_object(report)['systems'][0]['words']['rate']:.2f} %"
    (comparison,) = page.locator("#comparisons tbody tr").all()
    assert f"{100 * report_object(report)['comparisons'][0]['difference']:+.2f}" in comparison.inner_text()
    slices = sum(len(field["values"]) for field in report_object(report)["systems"][0]["slices"])
    assert page.locator("#slices tbody tr, #slices table > tr").count() == slices
    frequent = report_object(report)["systems"][0]["confusions"]["words"]["deletions"][0]
    assert page.locator("#confusions .columns > div:nth-child(2) tr").first.inner_text().split() == [
        frequent[0],
        str(frequent[1]),
    ]


def test_the_explorer_sorts_filters_and_searches(opened):
    report, _ = make(80)
    page = opened(render_page(report))
    count = page.locator("#count")
    assert count.inner_text() == "80 of 80"
    assert page.locator("article").count() == 30
    page.locator("#more").click()
    assert page.locator("article").count() == 60

    def ids() -> list[str]:
        return [text.split("\n")[0] for text in page.locator("article h3").all_inner_texts()]

    utterances = report_object(report)["utterances"]

    def wanted(key, rows=utterances) -> list[str]:
        return [one["id"] for one in sorted(rows, key=key)][:30]

    page.locator("#sort").select_option("id")
    assert ids() == wanted(lambda one: one["id"])
    page.locator("#sort").select_option("errors")
    assert ids() == wanted(lambda one: -one["systems"][0]["words"]["errors"])
    page.locator("#show").select_option("right")
    right = [one for one in report_object(report)["utterances"] if not one["systems"][0]["words"]["errors"]]
    assert count.inner_text() == f"{len(right)} of 80"
    page.locator("#show").select_option("all")
    page.locator("#search").fill("utt-0042")
    until(page, "document.getElementById('count').textContent === '1 of 80'")
    page.locator("#search").fill("")
    until(page, "document.getElementById('count').textContent === '80 of 80'")
    page.locator("#slices button", has_text="y").last.click()
    assert count.inner_text() == "40 of 80"
    page.locator("#clear").click()
    page.locator("#confusions button[data-pair=s]", has_text="wrong").first.click()
    assert 0 < int(count.inner_text().split()[0]) < 80
    assert page.locator("article").first.locator(".t.s i", has_text="wrong").count() == 1


def test_a_hostile_transcript_is_text(opened):
    report, _ = make(3)
    page = opened(render_page(report))
    page.wait_for_timeout(200)
    assert page.title().startswith("Word error rate")
    assert page.locator("img").count() == 0
    page.locator("#sort").select_option("order")
    assert "onerror=\"document.title='taken'\">" in page.locator("article").first.inner_text()
    assert page.locator("article h3").first.inner_text().startswith("<b>hostile</b>")


def test_words_light_up_as_a_recording_plays(opened, tmp_path, write_audio):
    report, sounds = make(3, tmp_path / "media", LogMel.from_librosa(FeatureConfig()), write_audio)
    for folder in (None, "media"):
        page = opened(render_page(report, sounds, folder=folder))
        page.locator("#sort").select_option("order")
        owner = page.locator("article").nth(1)
        assert owner.locator(".spike").count() == 2
        picture = owner.locator("img")
        picture.scroll_into_view_if_needed()
        until(page, "image => image.complete && image.naturalWidth > 50", picture.element_handle())
        owner.locator(".t[data-at]").first.click()
        until(page, "document.querySelectorAll('article:nth-child(2) .t.now').length === 1")
        until(page, "document.getElementById('player').currentTime > 0.3")
        assert owner.locator(".head").is_visible()
        owner.locator(".play").click()
        assert owner.locator(".now").count() == 0
        page.locator("article").nth(1).focus()
        page.keyboard.press("k")
        page.keyboard.press(" ")
        until(page, "!document.getElementById('player').paused")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "search"


def test_the_sound_of_a_page_is_opus_that_the_browser_decodes(opened, tmp_path, write_audio):
    report, sounds = make(2, tmp_path / "media", LogMel.from_librosa(FeatureConfig()), write_audio)
    page = opened(render_page(report, sounds))
    seconds = page.evaluate(
        """async () => {
            const {utterances} = JSON.parse(document.getElementById("data").textContent);
            if (!utterances[1].audio.startsWith("data:audio/ogg;codecs=opus;base64,")) return utterances[1].audio;
            const bytes = Uint8Array.from(atob(utterances[1].audio.split(",")[1]), (one) => one.charCodeAt(0));
            return (await new OfflineAudioContext(1, 48000, 48000).decodeAudioData(bytes.buffer)).duration;
        }"""
    )
    assert seconds == pytest.approx(1.5, abs=0.03)


def test_a_minute_of_speech_costs_less_than_150_kilobytes(tmp_path):
    """Sound, picture and data of the six samples, 46 seconds in short files."""
    bundle = load_bundle("tiny")
    report = asr.evaluate(SAMPLES / "samples.jsonl", bundle=bundle)
    utterances = [one.utterance for one in report.utterances]
    media = list(write_media(utterances, tmp_path, bundle.log_mel))
    fixed = len(render_page(report).encode())
    seconds = sum(one.seconds for one in media if one is not None)
    assert seconds > 40
    assert len(render_page(report, media).encode()) - fixed < 150_000 * seconds / 60


def test_sound_of_any_rate_is_resampled_for_opus(rng):
    for rate in (8000, 11025, 16000, 22050):
        content = opus_content(rng.normal(0, 0.1, 2 * rate).astype(np.float32), rate)
        assert soundfile.info(io.BytesIO(content)).duration == pytest.approx(2, abs=0.02)


def test_without_javascript_the_tables_are_there(browser, tmp_path):
    report, _ = make(20)
    path = tmp_path / "report.html"
    path.write_text(render_page(report), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator("#systems tbody tr[data-system]").count() == 2
    assert "This list needs JavaScript" in page.locator("#utterances").inner_text()
    assert not page.locator("#filters").is_visible()
    context.close()


def test_nothing_is_wider_than_a_phone(opened):
    report, _ = make(40)
    for scheme in ("light", "dark"):
        page = opened(render_page(report), viewport={"width": 375, "height": 700}, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_five_thousand_utterances_open_in_two_seconds(opened, tmp_path, rng):
    spikes = tuple(Spike(0.1 * place, "etaoin shrdlu"[place % 13], 0.5) for place in range(60))
    report, _ = make(5000, spikes=spikes)
    (tmp_path / "report_files").mkdir()
    (tmp_path / "report_files" / "picture.webp").write_bytes(draw_frames(rng.random((600, 80), np.float32)))
    medium = Medium(Path("sound.opus"), Path("picture.webp"), 6.0)
    text = render_page(report, [medium] * 5000, folder="report_files")
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        page = opened(text)
        page.wait_for_selector("article")
        spent.append(time.perf_counter() - started)
        assert page.locator("#count").inner_text() == "5,000 of 5,000"
    assert min(spent) < 2


def test_the_page_fetches_nothing_and_holds_the_data_of_the_report():
    report, _ = make(5)
    text = render_page(report)
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    start = text.index('id="data">') + len('id="data">')
    data = json.loads(text[start : text.index("</script>", start)])
    assert [one["id"] for one in data["utterances"]] == [one["id"] for one in report_object(report)["utterances"]]
    assert data["systems"] == ["ours <u>", "theirs"]
