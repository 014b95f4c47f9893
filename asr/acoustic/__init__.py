"""The acoustic model: frames in, log-probabilities of symbols out.

For users of Keras, this package has what a CTC model needs: `build_model`, `CtcLoss` and `TokenErrorRate` for
`model.compile`, `LogMelDataset` and `pad_batch` for `model.fit`, and `greedy_labels` for what `model.predict` returns.
`docs/keras.md` describes them, and `docs/keras.ipynb` is a complete example. Importing one of them imports Keras.
`import asr.acoustic` does not, and registers the classes that `keras.saving.load_model` needs once Keras is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asr.acoustic.registration import register_with_keras
from asr.packages import import_public

if TYPE_CHECKING:
    from asr.acoustic.dataset import LogMelDataset, pad_batch
    from asr.acoustic.keras_model import build_model
    from asr.acoustic.loss import CtcLoss
    from asr.acoustic.metrics import TokenErrorRate, greedy_labels

__all__ = ["CtcLoss", "LogMelDataset", "TokenErrorRate", "build_model", "greedy_labels", "pad_batch"]

_MODULES = {
    "CtcLoss": "loss",
    "LogMelDataset": "dataset",
    "TokenErrorRate": "metrics",
    "build_model": "keras_model",
    "greedy_labels": "metrics",
    "pad_batch": "dataset",
}

if not TYPE_CHECKING:  # so that type checkers refuse names that do not exist

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # All of them: each registers its classes, which `keras.saving.load_model` needs.
        homes = sorted(set(_MODULES.values()))
        modules = {one: import_public(f"{__name__}.{one}", f"{__name__}.{name}") for one in homes}
        return getattr(modules[_MODULES[name]], name)


def __dir__() -> list[str]:
    return sorted(__all__)


register_with_keras()
