"""The recurrent cells: what every builder and every kernel needs to know about each of them.

To add a cell: a member of `asr.settings.model.Cell`, a row here, and its `Step` in `rnn_kernels/cell_steps.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asr.settings.model import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDescription:
    """One recurrent cell."""

    gates: tuple[str, ...]
    """in the order of the weights' columns, which is that of Keras"""
    states: tuple[str, ...]
    """tensors [shape=(batch, units)] that a step passes to the next; the first is the cell's output"""
    open_gates: tuple[str, ...] = ()
    """gates whose bias is initialised with 1"""
    onnx_operator: str
    onnx_gates: tuple[str, ...]
    """the order in which the ONNX operator takes them"""
    onnx_attributes: Mapping[str, int] = field(default_factory=dict)
    onnx_quantized_operator: str | None = None
    """ONNX Runtime's operator with integer weights, if there is one; it takes the gates in the same order"""
    fused_name: str
    """what PyTorch and cuDNN call the cell"""
    fused_gates: tuple[str, ...]
    """the order in which PyTorch and cuDNN take the gates"""
    jax_cudnn: bool = False
    """whether JAX can run it with cuDNN"""

    def reordered(self, gates: Sequence[str]) -> list[int]:
        """The position among `self.gates` of each of these gates."""
        return [self.gates.index(gate) for gate in gates]


CELLS: dict[Cell, CellDescription] = {
    Cell.lstm: CellDescription(
        gates=("input_gate", "forget_gate", "candidate", "output_gate"),
        states=("hidden", "memory"),
        # R. Jozefowicz et al., "An empirical exploration of recurrent network architectures", ICML 2015, section 3.
        open_gates=("forget_gate",),
        onnx_operator="LSTM",
        onnx_gates=("input_gate", "output_gate", "forget_gate", "candidate"),
        onnx_quantized_operator="DynamicQuantizeLSTM",
        fused_name="lstm",
        fused_gates=("input_gate", "forget_gate", "candidate", "output_gate"),
        jax_cudnn=True,
    ),
    Cell.gru: CellDescription(
        gates=("update_gate", "reset_gate", "candidate"),
        states=("hidden",),
        onnx_operator="GRU",
        onnx_gates=("update_gate", "reset_gate", "candidate"),
        onnx_attributes={"linear_before_reset": 1},
        fused_name="gru",
        fused_gates=("reset_gate", "update_gate", "candidate"),
    ),
}
