"""The folder of the page: what is in it, what it replaces, and what cannot be written."""

from __future__ import annotations

import json
import re
import tarfile

import pytest

from asr import load_bundle
from asr.browser import site
from asr.browser.site import page_html, write_site
from asr.browser.web_runtime import DIGESTS, WebRuntime, web_runtime
from asr.errors import ConfigError, OutputError
from asr.settings.decoding import BeamConfig

from ..conftest import SAMPLES

SAMPLE = SAMPLES / "422-122949-0004.opus"


@pytest.fixture
def write(monkeypatch, tmp_path):
    """Writes a page, with something else in the place of ONNX Runtime."""
    monkeypatch.setattr(site, "web_runtime", lambda source: WebRuntime(b"export {};", b"wasm"))

    def run(bundles="tiny", **options):
        names = [bundles] if isinstance(bundles, str) else bundles
        return write_site([load_bundle(name) for name in names], tmp_path / "site", **options)

    return run


def test_every_file_that_the_page_asks_for_is_there(write):
    written = write(samples=[SAMPLE])
    files = {path.relative_to(written.path).as_posix() for path in written.path.rglob("*") if path.is_file()}
    asked = set(re.findall(r'(?:href|src)="([^"#]+)"', (written.path / "index.html").read_text()))
    assert asked
    for path in [*written.path.glob("page/*.js"), *written.path.glob("engine/*.js")]:
        for name in re.findall(r'(?:from|new URL\()\s*"(\.[^"]+|[\w]+\.js)"', path.read_text()):
            asked.add((path.parent / name).resolve().relative_to(written.path.resolve()).as_posix())
    assert asked <= files
    description = json.loads((written.path / "site.json").read_text())
    assert [one["name"] for one in description["models"]] == ["tiny"]
    card = json.loads((written.path / "models" / "tiny" / "model.json").read_text())
    sizes = {name: (written.path / "models" / "tiny" / name).stat().st_size for name in card["files"]}
    assert card["files"] == sizes
    assert sum(sizes.values()) <= description["models"][0]["bytes"] == written.models["tiny"]


def test_the_page_talks_to_its_own_folder_alone():
    page = page_html()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*|unsafe-inline|unsafe-eval(?<!wasm-unsafe-eval)", policy)
    assert not re.search(r"""(?:href|src)=["']?(?:https?:)?//""", page)
    assert "<!-- card -->" not in page


def test_a_page_is_replaced_and_nothing_else(write, tmp_path):
    first = write()
    (first.path / "engine" / "old.js").write_text("")
    write()
    assert not (first.path / "engine" / "old.js").exists()
    (first.path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        write(overwrite=True)
    (first.path / "notes.txt").unlink()
    (first.path / "site.json").write_text("{}")
    with pytest.raises(OutputError, match="overwrite=true"):
        write()
    write(overwrite=True)


def test_what_the_page_cannot_do_is_refused(write):
    with pytest.raises(ConfigError, match="different names"):
        write(["tiny", "tiny"])
    with pytest.raises(ConfigError, match=r"decoder\.hotwords"):
        write(decoder=BeamConfig(hotwords=["Kathleen"]))


def test_another_version_of_the_runtime_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "package"
    (folder / "dist").mkdir(parents=True)
    with pytest.raises(ConfigError, match="npm pack"):
        web_runtime(folder)
    for name in DIGESTS:
        (folder / "dist" / name).write_bytes(b"older")
    with pytest.raises(ConfigError, match=r"is not that of onnxruntime-web 1\.30\.0"):
        web_runtime(folder)
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, "package")
    with pytest.raises(ConfigError, match="is not that of"):
        web_runtime(archive)
    archive.write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="npm package"):
        web_runtime(archive)
    with pytest.raises(ConfigError, match="cannot be read"):
        web_runtime(tmp_path / "missing.tgz")
    monkeypatch.delenv("ASR_WEB_RUNTIME", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="no npm"):
        web_runtime()
