"""`asr push`."""

from __future__ import annotations

from collections.abc import Sequence

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.errors import ConfigError
from asr.settings.commands import PushConfig

USAGE = "asr push BUNDLE DESTINATION [key=value...]"
TEXT = """
Copies a bundle and its model card (README.md, as `asr card` writes it) to a folder, a Git remote
(git+ssh://HOST/PATH, git+https://..., git+file:///PATH) or a repository on the Hugging Face hub (hf://OWNER/NAME, with
the extra `hub`). The digests of the bundle are verified first. A file at the destination that asr did not write, or
that was changed since, is refused before anything is written. Unchanged files are not written again.
"""
EXAMPLES = """\
  asr push runs/mine/best /media/models/mine report=[report/report.json]
  asr push runs/mine/best git+ssh://git@example.org/models/mine.git message="More speakers"
  asr push runs/mine/best hf://anna/mine language=[en] license=apache-2.0
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: PushConfig | None = settings_or_answer("push", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    if len(split.files) != 2:
        raise ConfigError(f"asr push takes a bundle and a destination, not {len(split.files)} names: {USAGE}")
    from asr.bundle import load_bundle
    from asr.cli.card import model_card
    from asr.sharing.copies import push

    name, destination = split.files
    bundle = load_bundle(name)
    changed = push(
        bundle,
        destination,
        card=model_card(bundle, settings, destination),
        message=settings.message,
        revision=settings.revision,
        private=settings.private,
        overwrite=settings.overwrite,
    )
    print(f"{destination}: {', '.join(changed) or 'nothing changed'}")
    return 0
