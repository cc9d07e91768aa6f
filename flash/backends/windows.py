"""Windows that symmetric padding and one stride describe: all that exporters can write."""

from __future__ import annotations

from flash.errors import InputError
from flash.spaces.layers import Layer

__all__ = ["check_window"]


def check_window(layer: Layer) -> None:
    """Raise ``InputError`` for a convolution or pooling whose window is of another kind.

    A layer read from someone's file may have dilations, which it does not tell, or one-sided
    padding.
    """
    if layer.op not in ("conv", "max_pool", "avg_pool"):
        return
    for side in ("height", "width"):
        size, kernel, pad, out = (
            int(getattr(layer, f"{what}_{side}")) for what in ("in", "kernel", "pad", "out")
        )
        reach = int(layer.dilation) * (kernel - 1)
        if (size + 2 * pad - reach - 1) // int(layer.stride) + 1 != out:
            raise InputError(
                f"layer {layer.name}: only symmetric padding, equal strides and no dilation can "
                f"be written, and they do not take {side} {size} to {out}"
            )
