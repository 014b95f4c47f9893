"""Lists the figures of README.md and docs/models.md: where each stands, since when, and the command that measures it.

python scripts/docs/figures.py            # all
python scripts/docs/figures.py --long     # those that no test computes again
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
README, MODELS = "README.md", "docs/models.md"

_EVALUATE = "asr evaluate dev-clean-heldout.jsonl 'against=[greedy,tiny,sphinx.jsonl]' slice_by=[speaker,gender]"
_LIVE = "asr evaluate dev-clean-heldout.jsonl bundle=live 'against=[greedy]'"
_SMALL = "asr evaluate dev-clean-heldout.jsonl bundle=small 'against=[greedy]'"
_SPHINX = "python scripts/bench/transcribe_pocketsphinx.py dev-clean-heldout.jsonl sphinx.jsonl"
_TIMES = "python scripts/bench/transcribe.py dev-clean-heldout.jsonl --peer-minutes 1"
_SMALL_BOTH = f"{_SMALL} && python scripts/bench/footprint.py dev-clean-heldout.jsonl --bundles small"
_BOTH = f"{_EVALUATE} && {_TIMES}"
_ROBUSTNESS = "python scripts/bench/robustness.py dev-clean-heldout.jsonl --limit 160"
_FOOTPRINT = "python scripts/bench/footprint.py dev-clean-heldout.jsonl --bundles small en tiny live"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a page."""

    page: str
    text: str
    """as the page has it, whatever its numbers are now"""
    command: str
    tested: bool = False
    """whether `tests/docs/test_figures.py` computes it again"""

    @property
    def written(self) -> str | None:
        """The text with the numbers that the page has; None if the page has no such text."""
        pattern = re.sub(r"\d+(?:[.,]\d+)*", lambda _: r"\d+(?:[.,]\d+)*", re.escape(self.text).replace("\\.", "."))
        found = re.search(pattern, (REPOSITORY / self.page).read_text("utf-8"))
        return found[0] if found else None


FIGURES = (
    Figure(README, "two language models | **8.9 %**", _BOTH),
    Figure(README, "`decoder=greedy` | 40.9 %", _BOTH),
    Figure(README, "`bundle=small` (5.9 MB) | 16.4 % | 14.5 to 18.1 % | 8.0 % | 12.0 | 360 MB", _SMALL_BOTH),
    Figure(README, "its own model | 31.8 %", f"{_SPHINX} && {_BOTH}"),
    Figure(README, "485 utterances (1.08 h)", _EVALUATE),
    Figure(README, "19.79 % on one, and 19.91 %", f"{_EVALUATE} (on two processors)"),
    Figure(README, "2.3 % WER on six", "asr evaluate data/samples/samples.jsonl", tested=True),
    Figure(README, "66.67 %", "the example above it", tested=True),
    Figure(README, "8.9 million weights", "asr info en", tested=True),
    Figure(README, "among its 110,000", "asr info en", tested=True),
    Figure(README, "less than 350 MB", "python scripts/bench/installs.py"),
    Figure(README, "22 hours of open read speech", "asr doctor with the manifests of docs/corpora.md"),
    Figure(README, "24 core-seconds, in constant memory", _FOOTPRINT),
    Figure(README, "`bundle=live` (3.7 MB) costs less, with 16.3 %", _LIVE),
    Figure(MODELS, "default: beam of 96 over phones, second pass | 8.9 % | 7.7 to 10.2 % | 4.0 %", _EVALUATE),
    Figure(MODELS, "`tiny` | 75.5 % | 72.7 to 78.6 % | 29.6 %", _EVALUATE),
    Figure(MODELS, "`small`, default: beam of 96 over phones | 16.4 % | 14.5 to 18.1 % | 8.0 %", _SMALL),
    Figure(MODELS, "`live`, default: beam of 128 over phones | 16.3 % | 14.8 to 17.7 % | 8.0 %", _LIVE),
    Figure(MODELS, "`live`, `decoder=greedy` | 60.4 % | 57.7 to 63.2 % | 21.2 %", _LIVE),
    Figure(MODELS, "| women | 271 | 6,108 | 10.5 %", _EVALUATE),
    Figure(MODELS, "calibration error 0.7 %", "asr tune dev-clean-heldout.jsonl (docs/tuning.md)"),
    Figure(MODELS, "pink noise, 10 dB | 18.8 % | 17.1 to 20.4 % | 21.9 % | 31.0 % | 91.9 %", _ROBUSTNESS),
    Figure(MODELS, "`en`, greedy | 9.1 MB | 299 MB | 370 | 9.9 | 40.9 %", _FOOTPRINT),
    Figure(MODELS, "`en`, beam of 96 over phones, second pass | 51.0 MB | 575 MB | 155 | 23.5 | 8.9 %", _FOOTPRINT),
    Figure(MODELS, "`tiny`, greedy | 0.6 MB | 225 MB | 871 | 4.3 | 75.5 %", _FOOTPRINT),
    Figure(MODELS, "`small`, beam of 96 over phones | 5.4 MB | 360 MB | 305 | 12.0 | 16.4 %", _FOOTPRINT),
    Figure(MODELS, "it has 35.5 %", "docs/recipes/README.md, With a language model"),
    Figure(MODELS, "59.0 MB: weights in 7 bits 9.1", "asr info en", tested=True),
    Figure(MODELS, "5.9 MB: weights in 7 bits 1.8", "asr info small", tested=True),
    Figure(MODELS, "1.6 MB: graph 0.6, weights 1.0", "asr info tiny", tested=True),
    Figure(MODELS, "0.54 million weights", "asr info tiny", tested=True),
    Figure(MODELS, "it has 41.2 % WER", "asr tune dev-clean-heldout.jsonl bundle=tiny ... (in the text)"),
)  # fmt: skip


def written_on(figure: Figure) -> str:
    """The day on which the figure was last written or changed, of the history of the repository; "unknown" without."""
    found = subprocess.run(
        ["git", "log", "-1", "--format=%as", f"-S{figure.written}", "--", figure.page],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.strip() or "unknown"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each figure: page, date, figure, command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="only figures that no test computes again")
    options = parser.parse_args(arguments)
    for figure in FIGURES:
        if not (options.long and figure.tested):
            tested = "  (computed again by tests/docs/test_figures.py)" if figure.tested else ""
            print(f"{figure.page}  {written_on(figure)}  {figure.written!r}\n    {figure.command}{tested}")


if __name__ == "__main__":
    main()
