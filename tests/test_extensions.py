"""What an addition touches: each one is made in a copy of the package, in the files that CONTRIBUTING.md names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import REPOSITORY, SAMPLES

RECORDING = SAMPLES / "422-122949-0004.opus"


class Copy:
    """The package and its configuration in another folder; the shipped models are links."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.touched = folder, set[str]()
        skipped = shutil.ignore_patterns("models", "__pycache__")
        shutil.copytree(REPOSITORY / "asr", folder / "asr", ignore=skipped)
        shutil.copytree(REPOSITORY / "conf", folder / "conf")
        (folder / "asr/models").symlink_to(REPOSITORY / "asr/models")

    def add(self, path: str, text: str, *, before: str = "") -> None:
        """Create a file, or insert lines before the only occurrence of others."""
        place = self.folder / path
        self.touched.add(path)
        if before:
            content = place.read_text("utf-8")
            assert content.count(before) == 1
            text = content.replace(before, text + before)
        else:
            assert not place.exists()
        place.write_text(text, "utf-8")

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | {"PYTHONPATH": str(self.folder)},
            capture_output=True, text=True, cwd=self.folder, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def copy(tmp_path) -> Copy:
    return Copy(tmp_path)


def named_in_contributing(thing: str) -> set[str]:
    """The files and folders in the row of the table for an addition."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| an? \*\*{thing}\*\* \| (.*) \| .* \|$", text, re.MULTILINE)
    return set(re.findall(r"`((?:asr|conf)/[^`]*)`", row))


def is_named(path: str, names: set[str]) -> bool:
    return any(path == name or (name.endswith("/") and path.startswith(name)) for name in names)


def test_an_output_format_is_a_module_and_a_line_of_the_table_of_names(copy):
    copy.add(
        "asr/writers/loud.py",
        "from asr.writers.writer import Writer\n"
        'WRITERS = {"loud": Writer(lambda transcript, _: transcript.text.upper() + "!\\n", ".loud")}\n',
    )
    copy.add("asr/settings/transcripts.py", '    loud = "loud"\n', before='    srt = "srt"\n    vtt = "vtt"\n    tsv')
    copy.run("-m", "asr", "transcribe", str(RECORDING), "bundle=tiny", "format=loud", "output_dir=out")
    written = (copy.folder / f"out/{RECORDING.stem}.loud").read_text("utf-8")
    assert written.endswith("!\n")
    assert written.isupper()
    assert len(copy.touched) == 2
    assert all(is_named(path, named_in_contributing("output format")) for path in copy.touched)


def test_an_augmentation_is_a_row_of_its_module_and_its_settings(copy):
    copy.add(
        "asr/audio/augment.py",
        '    "clip": ("clip_probability", lambda _, samples, rng: samples.clip(-0.5, 0.5)),\n',
        before='    "level": ("gain_probability"',
    )
    copy.add(
        "asr/settings/augment.py",
        "    clip_probability: float = field(default=0.0, metadata=between(0.0, 1.0))\n"
        '    """share of utterances that are clipped"""\n',
        before="    gain_probability: float",
    )
    code = """
import numpy as np
from asr.audio.augment import Augmenter
from asr.settings.augment import AugmentConfig
rng = np.random.default_rng(0)
augmenter = Augmenter(AugmentConfig(clip_probability=1), 16000)
variation = augmenter.draw(rng)
print(*variation.names, augmenter.apply(np.ones(9, np.float32), variation, rng).max())
"""
    assert copy.run("-c", code).split() == ["clip", "0.5"]
    assert all(is_named(path, named_in_contributing("augmentation")) for path in copy.touched)


def test_a_decoder_touches_four_files(copy):
    copy.add(
        "asr/settings/decoding.py",
        "@dataclass(kw_only=True)\n"
        "class FixedConfig(DecoderConfig):\n"
        '    """Decodes every recording to the same text."""\n'
        '    text: str = "nothing"\n'
        '    """the text"""\n\n\n',
        before="DECODERS: dict",
    )
    copy.add("asr/settings/decoding.py", '"fixed": FixedConfig, ', before='"greedy": GreedyConfig,')
    copy.add("conf/decoder/fixed.yaml", "defaults:\n  - fixed_schema\n")
    copy.add(
        "asr/decoding/fixed.py",
        "from asr.decoding.decoder import GreedyDecoder\n"
        "from asr.decoding.hypothesis import Hypothesis\n"
        "class FixedDecoder(GreedyDecoder):\n"
        "    def __init__(self, alphabet, text):\n"
        "        super().__init__(alphabet)\n"
        "        self._text = text\n"
        "    def decode_in_slices(self, log_probs):\n"
        "        yield\n"
        "        numbers = tuple(range(len(self._text)))\n"
        "        return [[Hypothesis(self._text, 0.0, numbers, (0.0,) * len(numbers))] for _ in log_probs]\n",
    )
    copy.add(
        "asr/decoding/decoder.py",
        "        case _ if type(settings).__name__ == 'FixedConfig':\n"
        "            from asr.decoding.fixed import FixedDecoder\n"
        "            return FixedDecoder(alphabet, settings.text)\n",
        before='        case _:\n            raise ConfigError(f"no decoder',
    )
    words = ["-m", "asr", "transcribe", str(RECORDING), "bundle=tiny", "decoder=fixed", "decoder.text='so it is'"]
    assert copy.run(*words) == "so it is\n"
    assert len(copy.touched) == 4
    assert all(is_named(path, named_in_contributing("decoder")) for path in copy.touched)
