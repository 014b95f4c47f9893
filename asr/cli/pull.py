"""`asr pull`."""

from __future__ import annotations

from collections.abc import Sequence

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.errors import ConfigError
from asr.settings.commands import PullConfig

USAGE = "asr pull SOURCE FOLDER [key=value...]"
TEXT = """
Copies a bundle from a folder, a Git remote (git+ssh://HOST/PATH, git+https://..., git+file:///PATH) or the Hugging Face
hub (hf://OWNER/NAME, with the extra `hub`) into a folder, with its README.md and nothing else. The digests of all its
files are verified before it replaces an earlier one. A folder that holds anything but an earlier pull is refused.
"""
EXAMPLES = """\
  asr pull git+https://example.org/models/mine.git mine
  asr pull hf://anna/mine mine revision=v2
  asr transcribe interview.mp3 bundle=./mine
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: PullConfig | None = settings_or_answer("pull", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    if len(split.files) != 2:
        raise ConfigError(f"asr pull takes a source and a folder, not {len(split.files)} names: {USAGE}")
    from asr.sharing.copies import pull

    source, folder = split.files
    bundle = pull(source, folder, revision=settings.revision, overwrite=settings.overwrite)
    verified = f"{len(bundle.digests)} digests verified" if bundle.digests else "a bundle of format 1 has no digests"
    print(f"{folder}: {bundle.bytes_on_disk / 1e6:.1f} MB, {verified}")
    return 0
