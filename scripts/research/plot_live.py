"""Draws error against delay of live recognition, of what scripts/bench/live.py printed.

    for right in 0.32 0.64 1.0 2.4; do
        python scripts/bench/live.py MANIFEST --no-transcribe second_pass=false right_seconds=$right \
            > one-pass-$right.txt
    done
    python scripts/bench/live.py MANIFEST --pocketsphinx INTERPRETER > default.txt
    python scripts/bench/live.py MANIFEST --no-transcribe --bundle live > live.txt
    python scripts/research/plot_live.py docs/pictures/live.png default.txt one-pass-*.txt --causal "live" live.txt

The first file is of the default settings, with `asr transcribe` and, if it was there, PocketSphinx; the others are of a
single pass, and of causal models by name.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

_SHOWN_AFTER = re.compile(r"words_not_right_after_([\d.]+)_s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("default", type=Path)
    parser.add_argument("one_pass", type=Path, nargs="+")
    parser.add_argument("--causal", nargs=2, action="append", default=[], metavar=("NAME", "FILE"))
    arguments = parser.parse_args()
    causal = [(name, read(Path(path))) for name, path in arguments.causal]
    default = read(arguments.default)
    one_pass = sorted((right_seconds(found), found["asr"]) for found in map(read, arguments.one_pass))
    figure = Figure(figsize=(10, 4), layout="constrained")
    finals, shown = figure.subplots(1, 2)
    finals.plot(
        [one for one, _ in one_pass], [100 * one["wer_of_finals"] for _, one in one_pass], "o-", label="one pass"
    )
    for (name, found), marker in zip(causal, "sD^v", strict=False):
        finals.plot(found["look_ahead_seconds"], 100 * found["asr"]["wer_of_finals"], marker, label=name)
    for name, rate, style in (
        ("two passes (default)", default["asr"]["wer_of_finals"], "--"),
        ("asr transcribe", default["asr"]["wer_of_asr_transcribe"], ":"),
    ):
        finals.axhline(100 * rate, linestyle=style, color="0.3", label=name)
    finals.set(title="Final texts", xlabel="right context or look-ahead (seconds)", ylabel="word error rate (%)")
    finals.set_ylim(0, 1.08 * finals.get_ylim()[1])
    finals.legend()
    plot_shown(shown, "two passes (default)", default["asr"])
    for name, found in causal:
        plot_shown(shown, name, found["asr"])
    if "pocketsphinx" in default:
        plot_shown(shown, "PocketSphinx", default["pocketsphinx"])
    shown.set(
        title="Text on the screen",
        xlabel="seconds after the end of a word",
        ylabel="words not right (%)",
        ylim=(0, 100),
    )
    shown.legend()
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.picture, dpi=110)
    return 0


def read(path: Path) -> dict[str, Any]:
    """The figures of a file: its last line."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8").splitlines()[-1])
    return found


def right_seconds(found: dict[str, Any]) -> float:
    """The setting of a run."""
    values = dict(setting.split("=", 1) for setting in found["settings"])
    return float(values["right_seconds"])


def plot_shown(axes: Any, name: str, system: dict[str, float]) -> None:
    """Words that are not right some time after their end."""
    points = [(float(match[1]), 100 * rate) for key, rate in system.items() if (match := _SHOWN_AFTER.fullmatch(key))]
    axes.plot(*zip(*points, strict=True), "o-", label=name)


if __name__ == "__main__":
    sys.exit(main())
