from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asr.cli.completion import SCRIPTS, suggestions

from ..conftest import oracle


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], ["transcribe", "train", "train-text"]),
        (["transcribe", "decoder=greedy", "deco"], ["decoder="]),
        (["transcribe", "decoder="], ["decoder=auto", "decoder=beam", "decoder=greedy"]),
        (["transcribe", "decoder=beam", "decoder.b"], ["decoder.beam_width="]),
        (["transcribe", "decoder.hot"], ["decoder.hotwords=", "decoder.hotwords_file=", "decoder.hotword_weight="]),
        (["lm", "ord"], ["order="]),
        (["lis"], ["listen"]),
        (["listen", "format="], ["format=text", "format=jsonl", "format=vtt", "format=srt"]),
        (["listen", "live.endpoint.l"], ["live.endpoint.longest_seconds="]),
        (["transcribe", "format=j"], ["format=json", "format=jsonl"]),
        (["train", "model.cell="], ["model.cell=lstm", "model.cell=gru"]),
        (["train", "experiment=sm"], ["experiment=small", "experiment=smoke"]),
        (["train", "--mul"], ["--multirun"]),
        (["transcribe", ""], []),
        (["completion", "b"], ["bash"]),
        (["prepare", "l"], ["librispeech", "ljspeech"]),
        (["prepare", "an4", "hold"], ["hold_out="]),
    ],
)
def test_words_are_completed(words, expected):
    assert suggestions(words) == expected


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_shell_gets_its_script(asr_command, shell):
    assert asr_command("completion", shell).out == SCRIPTS[shell]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("asr transcribe decoder=b", ["beam"]),
        ("asr tra", ["transcribe", "train", "train-text"]),
        ("asr train model.dep", ["model.depth="]),
        ("asr transcribe no", ["notes with space.wav"]),
        ("asr transcribe output_dir=no", ["notes with space.wav"]),
    ],
)
def test_bash_completes(tmp_path, line, expected):
    (tmp_path / "notes with space.wav").touch()
    command = tmp_path / "bin" / "asr"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m asr "$@"\n')
    command.chmod(0o755)
    code = f"""
{SCRIPTS["bash"]}
compopt() {{ :; }}
COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
_asr_complete
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = os.environ | {"PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [oracle("bash"), "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    assert done.stdout.splitlines() == expected, done.stderr
    assert Path(command).exists()
