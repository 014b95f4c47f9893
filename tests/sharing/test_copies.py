"""Model cards, and bundles that are pushed and pulled: to a folder, a Git remote, and a hub on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from asr.bundle import BUNDLE_FILES, load_bundle

from ..conftest import SAMPLES, oracle_module

MANIFEST = SAMPLES / "samples.jsonl"


def files_of(folder) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name in BUNDLE_FILES}


@pytest.fixture(scope="module")
def report(tiny_bundle, tmp_path_factory):
    from asr.cli.main import main

    folder = tmp_path_factory.mktemp("report")
    arguments = [
        "evaluate",
        str(MANIFEST),
        f"bundle={tiny_bundle}",
        "names=[samples]",
        f"output_dir={folder}",
        "worst=0",
    ]
    assert main(arguments) == 0
    return folder / "report.json"


def test_a_card_has_the_rates_of_the_report(asr_command, tiny_bundle, report):
    outcome = asr_command("card", tiny_bundle, f"report=[{report}]", "name=My: model", "language=[en]", "license=mit")
    assert outcome.code == 0, outcome.err
    header = yaml.safe_load(outcome.out.split("---\n")[1])
    words = json.loads(report.read_text())["systems"][0]["words"]
    (model,) = header["model-index"]
    (result,) = model["results"]
    assert (model["name"], result["dataset"]["name"]) == ("My: model", "samples")
    assert result["metrics"][0] == {"type": "wer", "value": round(100 * words["rate"], 2), "name": "WER"}
    assert (header["language"], header["license"]) == (["en"], "mit")
    assert f"{100 * words['rate']:.2f} %" in outcome.out.split("---\n")[2]
    assert str(tiny_bundle) not in outcome.out


def test_the_hub_reads_the_rates_of_a_card(asr_command, tiny_bundle, report):
    outcome = asr_command("card", tiny_bundle, f"report=[{report}]", "name=My: model", "language=[en]", "license=mit")
    words = json.loads(report.read_text())["systems"][0]["words"]
    card = oracle_module("huggingface_hub").ModelCard(outcome.out)
    (parsed,) = [one for one in card.data.eval_results if one.metric_type == "wer"]
    assert (parsed.metric_value, parsed.dataset_name, card.data.model_name) == (
        round(100 * words["rate"], 2), "samples", "My: model"
    )  # fmt: skip


def test_a_shipped_bundle_has_the_rates_that_it_records(asr_command):
    outcome = asr_command("card", "tiny")
    assert outcome.code == 0, outcome.err
    header = yaml.safe_load(outcome.out.split("---\n")[1])
    rates = load_bundle("tiny").error_rates
    assert [one["dataset"]["name"] for one in header["model-index"][0]["results"]] == list(rates)


def test_a_report_of_texts_is_no_measurement_of_a_bundle(asr_command, tiny_bundle, tmp_path):
    for name in ("r.txt", "h.txt"):
        (tmp_path / name).write_text("one two\nthree\n")
    asr_command("evaluate", tmp_path / "r.txt", f"hypotheses={tmp_path / 'h.txt'}", f"output_dir={tmp_path / 'o'}")
    outcome = asr_command("card", tiny_bundle, f"report=[{tmp_path / 'o' / 'report.json'}]")
    assert outcome.code == 2
    assert "is a file of texts, not a bundle" in outcome.err
    assert asr_command("card", tiny_bundle, f"report=[{tmp_path / 'none.json'}]").code == 2


@pytest.mark.parametrize(
    "content",
    [100_000 * "[", "[1]", '{"format": 2, "systems": []}', '{"format": 2, "systems": [], "sets": [1]}',
     '{"format": 2, "systems": [], "references": {"names": ["a"]}}',
     '{"format": 2, "systems": [{"name": "a", "about": []}], "references": {"names": ["a"]}}'],
)  # fmt: skip
def test_a_card_of_something_else_than_a_report_is_refused_in_one_line(asr_command, tiny_bundle, tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    outcome = asr_command("card", tiny_bundle, f"report=[{tmp_path / 'report.json'}]")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"asr: error: report={tmp_path / 'report.json'}: is not a report.json of `asr evaluate`\n"


def test_a_folder_gets_the_bundle_and_gives_it_back(asr_command, tiny_bundle, tmp_path):
    there, back = tmp_path / "there", tmp_path / "back"
    assert asr_command("push", tiny_bundle, there).code == 0
    assert "nothing changed" in asr_command("push", tiny_bundle, there).out
    outcome = asr_command("pull", there, back)
    assert outcome.code == 0, outcome.err
    assert files_of(back) == files_of(tiny_bundle)
    assert (back / "README.md").exists()
    assert asr_command("pull", there, back).code == 0  # over an earlier pull
    (back / "mine.txt").write_text("precious")
    refused = asr_command("pull", there, back, "overwrite=true")
    assert refused.code == 2
    assert "holds 'mine.txt', which asr did not write" in refused.err


def test_files_of_others_at_the_destination_stay(asr_command, tiny_bundle, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "README.md").write_text("mine")
    refused = asr_command("push", tiny_bundle, tmp_path / "there")
    assert refused.code == 2
    assert "README.md: was not written by asr" in refused.err
    assert [one.name for one in (tmp_path / "there").iterdir()] == ["README.md"]
    assert asr_command("push", tiny_bundle, tmp_path / "there", "overwrite=true").code == 0


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx", "statistics.safetensors"])
def test_a_damaged_file_is_not_pulled(asr_command, tiny_bundle, tmp_path, name):
    assert asr_command("push", tiny_bundle, tmp_path / "there").code == 0
    content = bytearray((tmp_path / "there" / name).read_bytes())
    content[-5] ^= 1
    (tmp_path / "there" / name).write_bytes(content)
    refused = asr_command("pull", tmp_path / "there", tmp_path / "back")
    assert refused.code == 2
    assert name in refused.err
    assert not (tmp_path / "back").exists()


def git(*arguments: object) -> str:
    return subprocess.run(["git", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def remote(tmp_path):
    git("init", "--quiet", "--bare", "-b", "main", tmp_path / "remote.git")
    return tmp_path / "remote.git"


def test_a_git_remote_gets_a_commit_and_gives_the_bundle_back(asr_command, tiny_bundle, remote, tmp_path):
    address = f"git+file://{remote}"
    outcome = asr_command("push", tiny_bundle, address, "message=First model")
    assert outcome.code == 0, outcome.err
    assert git("-C", remote, "log", "--format=%s", "main") == "First model\n"
    assert "nothing changed" in asr_command("push", tiny_bundle, address).out
    assert git("-C", remote, "rev-list", "--count", "main") == "1\n"
    assert asr_command("push", tiny_bundle, address, "revision=other", "name=Other").code == 0
    pulled = asr_command("pull", address, tmp_path / "back", "revision=other")
    assert pulled.code == 0, pulled.err
    assert files_of(tmp_path / "back") == files_of(tiny_bundle)
    assert "# Other" in (tmp_path / "back" / "README.md").read_text()


def test_a_file_of_others_in_a_git_remote_stays(asr_command, tiny_bundle, remote, tmp_path):
    git("clone", "--quiet", remote, tmp_path / "work")
    (tmp_path / "work" / "README.md").write_text("mine")
    (tmp_path / "outside").write_text("outside")
    (tmp_path / "work" / "model.onnx").symlink_to(tmp_path / "outside")
    git("-C", tmp_path / "work", "add", ".")
    git("-C", tmp_path / "work", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "mine")
    git("-C", tmp_path / "work", "push", "--quiet", "origin", "HEAD:main")
    refused = asr_command("push", tiny_bundle, f"git+file://{remote}")
    assert refused.code == 2
    assert "was not written by asr" in refused.err
    assert asr_command("push", tiny_bundle, f"git+file://{remote}", "overwrite=true").code == 0
    assert (tmp_path / "outside").read_text() == "outside"


def test_an_address_that_cannot_be_used_is_one_line(asr_command, tiny_bundle, tmp_path):
    for address, message in (
        (f"git+file://{tmp_path}/none.git", "does not appear to be a git repository"),
        ("ftp://example.org/x", "cannot be used; it must be a folder, git+ssh"),
        ("git@example.org:x.git", "cannot be used"),
        (str(tmp_path / "nothing"), "no such folder"),
    ):
        refused = asr_command("pull", address, tmp_path / "back")
        assert refused.code == 2
        assert message in refused.err
        assert len(refused.err.splitlines()) == 1


class FakeHub(BaseHTTPRequestHandler):
    """The part of the hub's protocol that reading and writing small files needs; one repository in memory."""

    files: dict[str, bytes]
    made: list[dict]

    def log_message(self, *arguments):
        pass

    def reply(self, content, status=200, **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), "X-Repo-Commit": "a" * 40, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def file(self):
        content = self.files.get(self.path.split("?")[0].split("/resolve/")[1].partition("/")[2])
        if content is None:
            return self.reply({}, 404, X_Error_Code="EntryNotFound")
        return self.reply(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')

    do_HEAD = file  # noqa: N815

    def do_GET(self):
        if "/resolve/" in self.path:
            return self.file()
        if "/tree/" in self.path:
            return self.reply(
                [{"type": "file", "path": name, "size": len(one), "oid": "0"} for name, one in self.files.items()]
            )
        siblings = [{"rfilename": name} for name in self.files]
        return self.reply(
            {"id": "anna/mine", "modelId": "anna/mine", "sha": "a" * 40, "siblings": siblings, "tags": []}
        )

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/api/repos/create"):
            self.made.append(json.loads(body))
            return self.reply({"url": f"http://{self.headers['Host']}/anna/mine"})
        if "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            return self.reply(
                {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked]}
            )
        if "/commit/" not in self.path:  # the header of a card is checked first
            return self.reply({"errors": [], "warnings": []})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del self.files[line["value"]["path"]]
        address = f"http://{self.headers['Host']}/anna/mine/commit/{'b' * 40}"
        return self.reply({"commitOid": "b" * 40, "commitUrl": address, "success": True})


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine; whatever is asked of it needs no token of the user's."""
    module = oracle_module("huggingface_hub")
    FakeHub.files, FakeHub.made = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    api = module.HfApi
    monkeypatch.setattr(module, "HfApi", lambda: api(endpoint=address, token="hf_test"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield FakeHub
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_hub_gets_the_bundle_and_gives_it_back(asr_command, hub, tiny_bundle, tmp_path):
    outcome = asr_command("push", tiny_bundle, "hf://anna/mine", "license=mit")
    assert outcome.code == 0, outcome.err
    assert hub.made[0].get("visibility") == "private" or hub.made[0].get("private")
    assert {name: hub.files[name] for name in files_of(tiny_bundle)} == files_of(tiny_bundle)
    assert b"model-index" in hub.files["README.md"] or b"library_name" in hub.files["README.md"]
    assert "nothing changed" in asr_command("push", tiny_bundle, "hf://anna/mine", "license=mit").out
    hub.files["README.md"] = b"edited on the hub"
    refused = asr_command("push", tiny_bundle, "hf://anna/mine", "license=mit")
    assert refused.code == 2
    assert "README.md: was not written by asr, or changed since" in refused.err
    assert hub.files["README.md"] == b"edited on the hub"
    pulled = asr_command("pull", "hf://anna/mine", tmp_path / "back")
    assert pulled.code == 0, pulled.err
    assert files_of(tmp_path / "back") == files_of(tiny_bundle)
    hub.files["weights.safetensors"] = hub.files["weights.safetensors"][:-3] + b"abc"
    damaged = asr_command("pull", "hf://anna/mine", tmp_path / "back")
    assert damaged.code == 2
    assert "hf://anna/mine/weights.safetensors" in damaged.err
