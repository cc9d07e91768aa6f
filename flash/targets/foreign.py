"""Layers that come from files only, which models of accelerators have no cost for."""

from __future__ import annotations

from collections.abc import Collection

from flash.errors import InputError
from flash.spaces.layers import ELEMENTWISE
from flash.spaces.table import LayerTable

__all__ = ["refuse_foreign"]

_KNOWN = frozenset((*ELEMENTWISE, "conv", "linear", "max_pool", "avg_pool", "global_pool"))
#: Operations whose batch is one of images.
_OF_IMAGES = ("conv", "conv_transpose", "max_pool", "avg_pool", "global_pool")


def refuse_foreign(table: LayerTable, target: str, also: Collection[str] = ()) -> None:
    """Raise ``InputError`` for the first layer that the accelerator has no cost for.

    also: operations that this one knows besides those families emit. Where products of two
          activations are among them, a stack of matrices is priced; a batch of images is not.
    """
    stacks = "matmul" in also
    for layer in table.layers:
        if layer.op not in _KNOWN and layer.op not in also:
            raise InputError(
                f"layer {layer.name}: target {target} has no cost for '{layer.op}'; processor "
                "targets have"
            )
        batched = isinstance(layer.batch, int) and layer.batch != 1
        if batched and not (stacks and layer.op not in _OF_IMAGES):
            raise InputError(
                f"layer {layer.name}: target {target} prices one image at a time, not a batch of "
                f"{layer.batch}"
            )
