"""What `asr serve` is deployed with names settings, files and metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from asr.cli.composition import Composer

from ..conftest import REPOSITORY

DEPLOY = REPOSITORY / "scripts" / "deploy"
CONTAINER, UNIT = ((DEPLOY / name).read_text() for name in ("Containerfile", "asr.service"))


def command_lines() -> list[list[str]]:
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", CONTAINER, re.MULTILINE)
    (start,) = re.findall(r"^ExecStart=\S+/(asr .*)$", UNIT, re.MULTILINE)
    return [json.loads(entry), start.split()]


@pytest.mark.parametrize("line", command_lines(), ids=["container", "unit"])
def test_the_command_lines_have_settings_of_the_command(line):
    program, command, *overrides = line
    assert (program, command) == ("asr", "serve")
    with Composer("serve") as composer:
        settings = composer.compose([one.replace("${CREDENTIALS_DIRECTORY}", "/run/credentials") for one in overrides])
    assert settings.keys_file is not None
    assert settings.port == 8000


def test_the_image_copies_files_that_there_are():
    for names in re.findall(r"^COPY (?!--)(.*) \S+$", CONTAINER, re.MULTILINE):
        assert all((REPOSITORY / name).exists() for name in names.split())
    assert re.search(r"^USER (?!0|root)", CONTAINER, re.MULTILINE)
    assert "/health" in CONTAINER


def test_supervisors_wait_longer_than_the_server_does():
    with Composer("serve") as composer:
        grace = composer.compose([]).grace_seconds
    (timeout,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(timeout) > grace + 10


def test_the_unit_is_read_by_systemd_without_a_warning(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze (Debian package systemd)")
    copy = tmp_path / "asr.service"
    copy.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", UNIT))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_dashboard_asks_for_metrics_of_the_server():
    from asr.bundle import load_bundle
    from asr.recognition.pool import Pool
    from asr.serving.limits import Keys
    from asr.serving.service import Service
    from asr.settings.commands import ServeConfig

    bundle = load_bundle("tiny")
    service = Service(ServeConfig(bundle="tiny"), bundle, Pool(bundle, workers=1), Keys(), REPOSITORY)
    service.counters.requests.labels("/v1/models", 200).inc()
    service.counters.request_seconds.labels("/v1/models").observe(1)
    service.counters.streams.labels("vosk", "finished").inc()
    service.counters.stream_final_seconds.labels("vosk").observe(1)
    there = set(re.findall(r"^(asr_\w+)", service.counters.text().decode(), re.MULTILINE))
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    questions = [one["expr"] for panel in dashboard["panels"] for one in panel["targets"]]
    asked = {name for question in questions for name in re.findall(r"asr_\w+", question)}
    assert len(asked) > 8
    assert asked <= there
    documented = set(re.findall(r"`(asr_\w+)", (REPOSITORY / "docs" / "serving.md").read_text()))
    assert documented - {"asr_request_seconds", "asr_stream_final_seconds"} <= there  # histograms
