"""The page at `/`, in a real browser where there is one, against a server that runs."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
import soundfile

from asr import load_bundle, write
from asr.audio.load import load_audio
from asr.recognition.session import Session
from asr.recognition.transcriber import Transcriber

from ..browsers import chromium, until
from ..conftest import RATE, REPOSITORY, SAMPLES
from .running import SAMPLE, running

FOLDER = REPOSITORY / "asr" / "serving" / "page"
OTHER = SAMPLES / "2086-149214-0001.opus"
KEY = "s3cret/with+signs=in:it"
DOUBTFUL = 0.6
HOSTILE = "<img src=x onerror=alert(1)>.wav"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with running(folder, f"data_dir={folder / 'data'}") as server:
        server.data = folder / "data"
        yield server


@pytest.fixture(scope="module")
def transcriber():
    with Transcriber(load_bundle("tiny"), workers=1) as transcriber:
        yield transcriber


@pytest.fixture(scope="module")
def transcript(transcriber):
    """What `asr transcribe` makes of the recording."""
    return transcriber.transcribe(SAMPLE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium whose microphone gives a recording, again and again."""
    sound = tmp_path_factory.mktemp("microphone") / "microphone.wav"
    speech = load_audio(SAMPLE, sample_rate=RATE)
    soundfile.write(sound, np.concatenate([np.zeros(RATE), speech, np.zeros(2 * RATE)]), RATE)
    with chromium(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}",
    ) as browser:
        yield browser


@pytest.fixture
def opened(browser):
    """Opens the page of a server; what it complains of, or asks elsewhere, fails the test."""
    complaints, contexts, expected = [], [], []

    def note(message: str) -> None:
        if not any(one in message for one in expected):
            complaints.append(message)

    def open_page(server, *, expects: str = "", **options):
        if expects:
            expected.append(expects)
        context = browser.new_context(**options)
        contexts.append(context)
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (one) => console.error('policy', one.violatedDirective))"
        )
        page = context.new_page()
        page.on("pageerror", lambda error: note(f"error: {error}"))
        page.on("console", lambda one: note(one.text) if one.type in ("error", "warning") else None)
        own = (server.address, "blob:", "data:")
        page.on("request", lambda one: None if one.url.startswith(own) else note(f"request: {one.url}"))
        page.on("websocket", lambda one: None if f"ws://{server.host}:{server.port}/" in one.url else note(one.url))
        page.goto(f"{server.address}/")
        until(page, "document.querySelectorAll('#inputs:not([hidden]), #key:not([hidden])').length === 1")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def recognise(page, *files) -> None:
    """Choose files, and wait until all are recognised."""
    page.locator("#files").set_input_files([str(file) if not isinstance(file, dict) else file for file in files])
    until(
        page,
        "count => document.querySelectorAll('.card .tools:not([hidden])').length === count",
        len(files),
        seconds=40,
    )


def text_of(page) -> str:
    return page.locator(".text").first.inner_text()


def download(page, kind: str) -> str:
    with page.expect_download() as waiting:
        page.locator(f".download[data-format={kind}]").first.click()
    return waiting.value.path().read_text("utf-8")


def lines(folder, name: str) -> list[dict]:
    path = folder / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_chosen_file_gives_the_text_of_the_command_with_its_times_and_doubts(server, opened, transcript):
    page = opened(server)
    recognise(page, SAMPLE)
    assert text_of(page) == transcript.text
    words = page.evaluate(
        "[...document.querySelectorAll('.w')].map((one) => [one.textContent, one.word.start, one.word.end, "
        "one.classList.contains('doubtful')])"
    )
    assert [tuple(word) for word in words] == [
        (one.text, one.start, one.end, one.confidence < DOUBTFUL) for one in transcript.words
    ]
    doubtful = sum(one.confidence < DOUBTFUL for one in transcript.words)
    assert doubtful
    status = page.locator(".card .status").inner_text()
    assert status == f"{len(transcript.words)} words, {doubtful} of them doubtful."


@pytest.mark.parametrize("kind", ["txt", "srt", "vtt"])
def test_a_download_is_the_file_of_the_command(server, opened, transcript, kind):
    page = opened(server)
    recognise(page, SAMPLE)
    assert download(page, kind) == write(transcript, kind)


def test_dropped_files_are_recognised_in_order_and_keep_their_names(server, opened, transcript):
    page = opened(server, expects="400")
    contents = {SAMPLE.name: SAMPLE.read_bytes(), HOSTILE: b"no sound"}
    files = [[name, base64.b64encode(content).decode()] for name, content in contents.items()]
    page.evaluate(
        """files => {
            const moved = new DataTransfer();
            for (const [name, content] of files) {
                moved.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], name));
            }
            const options = {dataTransfer: moved, bubbles: true, cancelable: true};
            for (const kind of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(new DragEvent(kind, options));
            }
        }""",
        files,
    )
    until(page, "document.querySelectorAll('.card.failed').length === 1", seconds=40)
    first, second = page.locator(".card").all()
    assert first.locator("h3").inner_text() == SAMPLE.name
    assert first.locator(".text").inner_text() == transcript.text
    assert second.locator("h3").inner_text() == HOSTILE
    assert "The recording cannot be read" in second.locator(".status").inner_text()
    assert page.locator("img").count() == 0
    assert second.locator("button", has_text="Try again").count() == 0  # it would be refused again
    second.locator(".remove").click()
    assert page.locator(".card").count() == 1


def test_words_light_up_while_they_are_played_and_a_click_plays_from_there(server, opened, transcript):
    page = opened(server)
    recognise(page, SAMPLE)
    page.locator(".w").nth(5).click()
    until(page, "document.querySelectorAll('.w')[5].classList.contains('now')")
    until(page, "document.querySelectorAll('.w')[7].classList.contains('now')")
    assert page.locator(".now").count() == 1
    assert page.locator(".play").get_attribute("aria-label") == "Pause"
    page.locator(".play").click()
    until(page, "document.querySelector('.play').getAttribute('aria-label') === 'Play'")


def test_the_microphone_gives_the_captions_of_a_session(server, opened, transcriber):
    page = opened(server)
    sent, events = [], []

    def watch(socket) -> None:
        socket.on("framesent", lambda payload: sent.append(payload))
        socket.on("framereceived", lambda payload: events.append(json.loads(payload)))

    page.on("websocket", watch)
    page.locator("#record").click()
    until(page, "document.getElementById('tentative').textContent.length > 5", seconds=30)
    assert page.locator("#meter").is_visible()
    assert page.locator("#record").inner_text() == "Pause"
    page.locator("#stop").click()
    until(page, "document.querySelectorAll('.card .tools:not([hidden])').length === 1", seconds=30)
    assert sent[-1] == '{"type": "end"}'
    samples = np.frombuffer(b"".join(sent[:-1]), "<i2").astype(np.float32) / 32768
    session = Session(transcriber)
    expected = [event.to_json() for event in (*session.push(samples), *session.finish())]
    assert events == expected
    finals = [event["text"] for event in expected if event["type"] == "final"]
    assert finals
    assert page.locator("#final").text_content().split() == text_of(page).split() == " ".join(finals).split()
    # What was spoken is a recording like any other.
    page.locator(".play").click()
    until(page, "document.querySelectorAll('.now').length === 1")


def test_a_refused_stream_says_why_and_its_recording_is_recognised_as_a_file(server, opened):
    page = opened(server)
    error = {"message": "The stream could not be kept in real time.", "type": "requests", "param": None, "code": "busy"}

    def refuse(socket) -> None:
        socket.send(json.dumps({"type": "error", "error": error, "retry_after": 5}))
        socket.close(code=1013)

    page.route_web_socket(re.compile("/v1/live"), lambda socket: page.wait_for_timeout(1500) or refuse(socket))
    page.locator("#record").click()
    until(page, "document.querySelectorAll('.card .tools:not([hidden])').length === 1", seconds=30)
    assert page.locator("#speak-status").inner_text() == error["message"]
    assert page.locator("#record").inner_text() == "Start"
    assert page.locator(".card .facts").inner_text() != "0:00"


def test_a_busy_server_is_asked_again_when_it_said(server, opened, transcript):
    page = opened(server, expects="429")
    answers = []

    def refuse_once(route) -> None:
        answers.append(route.request.method)
        if len(answers) > 1:
            route.continue_()
            return
        body = json.dumps({"error": {"message": "busy", "type": "requests", "param": None, "code": "server_busy"}})
        route.fulfill(status=429, headers={"Retry-After": "1", "Content-Type": "application/json"}, body=body)

    page.route("**/v1/audio/transcriptions", refuse_once)
    page.locator("#files").set_input_files(str(SAMPLE))
    until(page, "document.querySelector('.card .status')?.textContent === 'The server is busy. Next try in 1 s.'")
    until(page, "document.querySelectorAll('.card .tools:not([hidden])').length === 1", seconds=40)
    assert text_of(page) == transcript.text
    assert len(answers) == 2


@pytest.mark.slow
def test_a_pause_ends_a_segment_and_the_times_go_on(server, opened):
    page = opened(server)
    page.locator("#record").click()
    until(page, "document.getElementById('final').textContent.length > 5", seconds=30)  # at a pause of the speaker
    until(page, "document.getElementById('tentative').textContent.length > 5", seconds=30)
    page.locator("#record").click()
    until(page, "document.getElementById('record').textContent === 'Resume'", seconds=30)
    before = page.locator("#final").inner_text()
    assert before
    assert page.locator("#tentative").inner_text() == ""
    elapsed = page.locator("#clock").inner_text()
    page.wait_for_timeout(1200)
    assert page.locator("#clock").inner_text() == elapsed
    page.locator("#record").click()
    until(page, "text => document.getElementById('final').textContent.length > text.length + 5", before, seconds=30)
    page.locator("#stop").click()
    until(page, "document.querySelectorAll('.card .tools:not([hidden])').length === 1", seconds=30)
    starts = page.evaluate("[...document.querySelectorAll('.w')].map((one) => one.word.start)")
    assert starts == sorted(starts)
    assert text_of(page).startswith(before.strip())


def test_a_text_is_corrected_and_saved_with_keys_alone(server, opened, transcript):
    page = opened(server)
    recognise(page, OTHER)
    page.locator("#record").focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('text')"):
            break
    assert page.evaluate("document.activeElement.classList.contains('text')")
    page.keyboard.press("n")
    until(page, "document.querySelectorAll('.at').length === 1")
    until(page, "document.querySelector('.card').classList.contains('playing')")
    page.keyboard.press("Space")
    until(page, "!document.querySelector('.card').classList.contains('playing')")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.isContentEditable")
    page.keyboard.press("Control+Home")
    page.keyboard.press("Alt+ArrowDown")
    word = page.evaluate("getSelection().toString()")
    assert page.locator("#announcer").inner_text() == f"Doubtful: {word}"
    before = text_of(page)
    page.keyboard.type("truly new")
    page.keyboard.press("Alt+Enter")
    until(page, "document.querySelector('.card').classList.contains('playing')")
    page.keyboard.press("Alt+Enter")
    until(page, "!document.querySelector('.card').classList.contains('playing')")
    corrected = text_of(page)
    assert corrected == before.replace(word, "truly new", 1)
    page.keyboard.press("Control+s")
    until(page, "document.querySelector('.card .status').textContent.startsWith('Saved in')", seconds=60)
    saved = [one for name in ("train", "test") for one in lines(server.data, f"{name}.jsonl")]
    assert corrected in [one["text"] for one in saved]
    (line,) = [one for one in lines(server.data, "corrections.jsonl") if one["text"] == corrected]
    assert line["recognised"] == before
    assert (server.data / line["audio_filepath"]).read_bytes() == OTHER.read_bytes()
    command = page.locator("#train-command").inner_text()
    assert command.startswith(f"asr train experiment=finetune init=tiny data.train={server.data / 'train.jsonl'}")
    assert page.locator("#evaluate-command").inner_text().startswith(f"asr evaluate {server.data / 'test.jsonl'}")
    # The times are those of the alignment now.
    assert page.locator(".w").all_inner_texts() == corrected.split()


def test_what_is_not_corrected_keeps_its_times_and_what_is_new_lies_between(server, opened):
    page = opened(server)
    recognise(page, SAMPLE)
    before = page.evaluate("[...document.querySelectorAll('.w')].map((one) => [one.textContent, one.word.start])")
    page.locator(".correct").click()
    page.evaluate("getSelection().collapse(document.querySelectorAll('.w')[1].firstChild, 0)")
    page.keyboard.type("quite new ")
    page.keyboard.press("Escape")
    after = page.evaluate("[...document.querySelectorAll('.w')].map((one) => [one.textContent, one.word.start])")
    assert [word for word, _ in after] == [before[0][0], "quite", "new", *(word for word, _ in before[1:])]
    assert after[0] == before[0]
    assert after[4:] == before[2:]
    starts = [start for _, start in after]
    assert starts == sorted(starts)
    assert " quite new " in download(page, "txt")
    page.locator(".revert").click()
    assert text_of(page) == " ".join(word for word, _ in before)


def test_a_wrong_correction_is_explained_and_stays_in_the_page(server, opened):
    page = opened(server, expects="400")
    recognise(page, SAMPLE)
    page.locator(".correct").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("room 21")
    page.locator(".save").click()
    until(page, "document.querySelector('.card').classList.contains('failed')", seconds=60)
    assert "cannot learn from them: 21" in page.locator(".card .status").inner_text()
    assert text_of(page) == "room 21"
    assert page.locator(".save").is_enabled()
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.locator(".remove").click()
    assert page.locator(".card").count() == 1


def test_a_key_is_asked_for_and_never_in_an_address(tmp_path, opened, transcript):
    (tmp_path / "keys").write_text(f"laptop {KEY}\n")
    with running(tmp_path, f"keys_file={tmp_path / 'keys'}") as server:
        page = opened(server, expects="401")
        addresses = []
        page.on("request", lambda request: addresses.append(request.url))
        page.on("websocket", lambda socket: addresses.append(socket.url))
        until(page, "document.activeElement.id === 'key-value'")
        assert not page.locator("#inputs").is_visible()
        page.keyboard.type("a wrong one 1234")
        page.keyboard.press("Enter")
        until(page, "document.getElementById('key-problem').textContent.length > 10")
        page.locator("#key-value").fill("wrong-wrong-wrong-wrong")
        page.keyboard.press("Enter")
        until(page, "document.getElementById('key-problem').textContent.includes('does not know this key')")
        page.locator("#key-value").fill(KEY)
        page.keyboard.press("Enter")
        until(page, "!document.getElementById('inputs').hidden")
        recognise(page, SAMPLE)
        assert text_of(page) == transcript.text
        page.locator("#record").click()  # the stream needs the key, too
        until(page, "document.getElementById('clock').textContent === '0:01'")
        page.locator("#stop").click()
        until(page, "document.querySelectorAll('.card .tools:not([hidden])').length === 2", seconds=30)
        assert len(addresses) > 4
        assert not any(KEY in one or "s3cret" in one for one in addresses)
        assert page.evaluate("[Object.values(sessionStorage), localStorage.length, document.cookie]") == [[KEY], 0, ""]
        page.reload()
        until(page, "!document.getElementById('inputs').hidden")
        assert not page.locator("#key").is_visible()
        assert not any("s3cret" in line for line in server.log)


def test_without_a_folder_nothing_is_offered_to_save(tmp_path, opened):
    with running(tmp_path) as server:
        page = opened(server)
        recognise(page, SAMPLE)
        page.locator(".correct").click()
        page.keyboard.type("new ")
        assert not page.locator(".save").is_visible()
        assert not page.locator("#learn").is_visible()
        page.keyboard.press("Control+s")
        assert not page.evaluate("document.querySelector('.card').classList.contains('correcting')")
        assert text_of(page).startswith("new ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(server, opened, scheme, width):
    page = opened(server, viewport={"width": width, "height": 800}, color_scheme=scheme)
    name = "a-very-long-name-of-a-recording-without-any-space-at-all-" * 2 + ".opus"
    recognise(page, {"name": name, "mimeType": "audio/ogg", "buffer": SAMPLE.read_bytes()})
    page.locator(".correct").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")


def test_every_control_has_a_name_and_shows_its_focus(server, opened):
    page = opened(server)
    recognise(page, SAMPLE)
    page.locator(".correct").click()
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, select, a, [tabindex], pre")]
            .filter((one) => one.checkVisibility() && !(one.getAttribute("aria-label") || one.textContent.trim()
                || one.labels?.length || one.getAttribute("aria-labelledby")))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    tree = page.locator("main").aria_snapshot()
    assert 'textbox "Transcript of 422-122949-0004.opus"' in tree
    assert 'slider "Position"' in tree
    assert 'button "Remove 422-122949-0004.opus"' in tree
    page.keyboard.press("Escape")
    page.locator("#record").focus()
    seen = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        style = page.evaluate(
            """(() => { const one = document.activeElement;
                const shown = one.id === "files" ? one.previousElementSibling : one; // its label is the button
                const {outlineStyle, outlineWidth} = getComputedStyle(shown);
                return [one.className || one.id, outlineStyle, outlineWidth]; })()"""
        )
        seen.add(style[0])
        assert style[1:] != ["none", "0px"], style
    assert {"play", "seek", "text", "correct", "copy", "download"} <= seen


def test_nothing_moves_when_the_focus_does(server, opened):
    """Or a click would end beside the button that it began on."""
    page = opened(server)
    recognise(page, SAMPLE, OTHER)
    places = "[...document.querySelectorAll('.card button')].map((one) => one.getBoundingClientRect().top)"
    page.locator(".text").first.focus()
    before = page.evaluate(places)
    assert page.locator("#keys").is_visible()
    page.locator(".remove").nth(1).focus()
    assert page.evaluate(places) == before
    assert not page.locator("#keys").is_visible()


def test_captions_do_not_flood_a_screen_reader(server, opened):
    """What may still change is hidden from it; a segment is read once, when it is final."""
    page = opened(server)
    assert page.locator("#final").get_attribute("aria-live") == "polite"
    assert page.locator("#partial").get_attribute("aria-hidden") == "true"
    assert page.locator("#partial [aria-live]").count() == 0


def colours() -> list[dict[str, str]]:
    """The colours of the style sheet: light, dark."""
    blocks = re.findall(r":root \{(.*?)\}", (FOLDER / "page.css").read_text(), re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", block)) for block in blocks]


def contrast(one: str, other: str) -> float:
    """The contrast of two colours by WCAG 2.2."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        values = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag_aa():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    schemes = colours()
    assert len(schemes) == 2
    for scheme in schemes:
        for back in ("paper", "card"):
            for text in ("text", "faint", "accent", "bad", "good"):
                assert contrast(scheme[text], scheme[back]) >= 4.5, (text, back)
            assert contrast(scheme["edge"], scheme[back]) >= 3, back  # of controls
        for text, back in (("sub", "sub-back"), ("text", "lit"), ("on-accent", "accent")):
            assert contrast(scheme[text], scheme[back]) >= 4.5, (text, back)


def test_files_are_served_with_a_strict_policy_and_are_fetched_once(server):
    for path in ("/", "/page/app.js", "/page/page.css", "/page/icon.svg"):
        answer = server.get(path)
        assert answer.status == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        again = server.get(path, **{"If-None-Match": answer.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
    for path in ("/page/index.html", "/page/..%2fapp.py", "/page/nothing.js", "/page/"):
        assert server.get(path).status == 404


def test_the_page_names_no_other_host():
    for path in FOLDER.iterdir():
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text.replace('"https:"', "")
        assert "//" not in re.sub(r"(^|\s)//\s", "", text).replace("://", "") or path.suffix != ".html"


def test_subtitles_are_those_of_the_command(server, transcript):
    words = [{"word": one.text, "start": one.start, "end": one.end} for one in transcript.words]
    body = json.dumps({"text": transcript.text, "duration": transcript.duration, "words": words})
    for kind in ("txt", "srt", "vtt"):
        assert server.request("POST", f"/v1/subtitles/{kind}", body).text == write(transcript, kind)


@pytest.mark.parametrize(
    "body",
    [
        "", "{}", "[]", "[" * 5000, '{"text": "a", "duration": 1, "words": [{}]}',
        '{"text": "a", "duration": 1, "words": [{"word": "b", "start": 0, "end": 1}]}',
        '{"text": "a", "duration": NaN, "words": [{"word": "a", "start": 0, "end": 1}]}',
        '{"text": "a", "duration": 1, "words": [{"word": "a", "start": -1, "end": 1}]}',
        '{"text": "a", "duration": 1, "words": [{"word": "a", "start": "0", "end": 1}]}',
        '{"text": 1, "duration": 1, "words": []}', '{"text": "a", "duration": 1, "words": 5}',
    ],
)  # fmt: skip
def test_subtitles_of_what_is_no_transcript_are_refused(server, body):
    answer = server.request("POST", "/v1/subtitles/srt", body)
    assert answer.status == 400
    assert answer.error["code"] in ("invalid_json", "invalid_value")


def test_subtitles_have_some_formats(server):
    assert server.request("POST", "/v1/subtitles/textgrid", "{}").status == 404


def test_a_recording_that_a_lost_connection_cut_off_can_be_tried_again(server, opened, transcript):
    page = opened(server, expects="ERR_")
    page.route("**/v1/audio/transcriptions", lambda route: route.abort())
    page.locator("#files").set_input_files(str(SAMPLE))
    until(page, "document.querySelectorAll('.card.failed').length === 1")
    assert "cannot be reached" in page.locator(".card .status").inner_text()
    page.unroute("**/v1/audio/transcriptions")
    page.locator("button", has_text="Try again").click()
    until(page, "document.querySelectorAll('.card .tools:not([hidden])').length === 1", seconds=40)
    assert text_of(page) == transcript.text
    assert page.locator(".card.failed").count() == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("good morning", ["good", "morning"]),
        ("漢字 ab 漢", ["漢", "字", "ab", "漢"]),
        ("a <b>&amp;</b> a", ["a", "<b>&amp;</b>", "a"]),
        ("", []),
    ],
)
def test_words_in_the_page_spell_the_text_and_are_read_back(server, opened, text, words):
    page = opened(server)
    timed = [{"word": word, "start": float(place), "end": place + 0.5} for place, word in enumerate(words)]
    shown, read = page.evaluate(
        """async ([text, words]) => {
            const {wordElements, wordsOf, textOf} = await import("/page/words.js");
            const element = document.createElement("div");
            element.append(wordElements(text, words));
            return [textOf(element), wordsOf(element)];
        }""",
        [text, timed],
    )
    assert shown == text
    assert read == timed
