"""Recurrent layers: LSTM, GRU and plain RNN, in one or both directions."""

from __future__ import annotations

from typing import Final

from flash.backends.onnx.ir.graph import Node
from flash.backends.onnx.ir.mapper import Mapper

__all__ = ["recurrent"]

#: Matrices of input and state each step multiplies.
_GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(mapper: Mapper, node: Node) -> None:
    """All steps as one layer.

    With D directions, T steps, a batch of B, I features and H states a direction it multiplies
    ``D gates H (I + H)`` weights for each of the ``T B`` steps, one step after the other.
    """
    x, weights = mapper.shape(node.input(0)), mapper.shape(node.input(1))
    computed = [name for name in node.inputs[1:3] if not mapper.is_constant(name)]
    batch_first = bool(node.attributes.get("layout"))
    steps, batch, features = (x[1], x[0], x[2]) if batch_first else x
    for state in filter(None, node.inputs[5:7]):
        own = mapper.shape(state)[0 if batch_first else 1]
        if own != batch:
            raise mapper.refusal(
                node, f"its state is for a batch of {own}, its input one of {batch}"
            )
    # Quantized dynamically its matrices are turned: what the state is, an attribute says.
    hidden = int(node.attributes.get("hidden_size", mapper.shape(node.input(2))[-1]))
    directions = weights[0]
    gates = _GATES[node.op]
    made = next((n for n in node.outputs if mapper.used(n)), node.outputs[0])
    mapper.record(
        "recurrent",
        node,
        [node.input(0), *computed],
        made,
        weights=[node.input(k) for k in (1, 2, 3, 7)],
        in_channels=features,
        out_channels=directions * hidden,
        in_height=steps,
        in_width=1,
        out_height=steps,
        out_width=1,
        batch=batch,
        macs=directions * gates * hidden * (features + hidden) * steps * batch,
    )
    for output in node.outputs:
        if output:
            mapper.also_makes(output)
