"""Which runtime of a target a model runs in: the one for the number format it is stored in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from flash.estimate.designs import target_name
from flash.spaces.layers import layer_macs
from flash.spaces.network import Network
from flash.targets import RunsFormats, Target

__all__ = ["as_stored", "stored_format", "tell_note"]

#: Share of the multiply-accumulates with weights in a format from which on a model counts as
#: stored in it.
_MOST: Final = 0.5


def stored_format(network: Network) -> str:
    """``fp32``, ``fp16`` or another format of a file; ``int8`` where activations are integers too,
    ``int8_dynamic`` where the weights alone are."""
    total: dict[str, float] = {}
    for layer in network.layers:
        stored = layer.format or "fp32"
        if stored == "int8" and layer.out_format != "int8":
            # Its result may be left in floats for what comes next; so what it reads decides.
            reads = {int(x.producer) for x in layer.inputs}
            formats = {network.layers[n].out_format for n in reads if n >= 0}
            stored = "int8" if "int8" in formats else "int8_dynamic"
        total[stored] = total.get(stored, 0.0) + float(layer_macs(layer))
    heaviest = max(total, key=lambda name: total[name], default="fp32")
    whole = sum(total.values())
    return heaviest if whole and total[heaviest] >= _MOST * whole else "fp32"


def tell_note(note: str) -> None:
    """A note on standard error."""
    sys.stderr.write("".join(c if c.isprintable() else " " for c in f"note: {note}") + "\n")


def as_stored(
    name: str, network: Network, target: Target, tell: Callable[[str], None] = tell_note
) -> Target:
    """The target with the runtime for the model's number format, and a note where that is not the
    one in use; the same target, and a note, where it has none.

    tell: takes the notes.
    """
    stored = stored_format(network)
    if stored == "fp32" or not isinstance(target, RunsFormats):
        return target
    found = target.of_format(stored)
    words = stored.replace("int8_dynamic", "int8 (weights; quantized dynamically)")
    if found is None:
        own = target.summary().get("precision", "fp32")
        note = (
            f"{name} is stored in {words}; {target_name(target)} has no rates for that: it is "
            f"priced as {own} runs, and its interval is widened"
        )
    elif found is target:
        return target
    else:
        changed = [f"{n}={v}" for n, v in found.chip.items() if v != target.chip[n]]
        runs = " with ".join([target_name(found), *changed])
        note = f"{name} is stored in {words}: priced as {runs} runs it"
    tell(note)
    return found or target
