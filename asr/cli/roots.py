"""What a command line sets: the dataclass of each command, and the folder of the configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asr.errors import ConfigError
from asr.settings import commands, decoding

FOLDER_VARIABLE = "ASR_CONFIG_DIR"
"""names folders of the user's own configuration files"""
ROOTS: dict[str, type[Any]] = {
    "train": commands.TrainConfig,
    "transcribe": commands.TranscribeConfig,
    "listen": commands.ListenConfig,
    "serve": commands.ServeConfig,
    "align": commands.AlignConfig,
    "prepare": commands.PrepareConfig,
    "evaluate": commands.EvaluateConfig,
    "doctor": commands.DoctorConfig,
    "lm": commands.LmConfig,
    "train-text": commands.TrainTextConfig,
    "lexicon": commands.LexiconConfig,
    "average": commands.AverageConfig,
    "tune": commands.TuneConfig,
    "export": commands.ExportConfig,
    "card": commands.CardConfig,
    "push": commands.PushConfig,
    "pull": commands.PullConfig,
}
"""The settings of each command that has any."""
GROUP_SCHEMAS: dict[str, dict[str, type[Any]]] = {"decoder": dict(decoding.DECODERS)}
"""The classes that the options of a group stand for."""


def conf_dir() -> Path:
    """The folder of the configuration files: in the package when it is installed, else beside it in the repository.

    Raises
    ------
    ConfigError
        If the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(f"the configuration files are missing from {package / 'conf'}: install asr again")
