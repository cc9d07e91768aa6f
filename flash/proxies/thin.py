"""The same network with few channels and a small image: what linear regions are counted on."""

from __future__ import annotations

from dataclasses import replace

from flash.proxies.probe import NoScore
from flash.spaces.emitter import Emitter
from flash.spaces.layers import INPUT, ZEROS, Layer, Tensor
from flash.spaces.network import GraphEmitter, Network

__all__ = ["thin_network"]


def thin_network(network: Network, divisor: int, side: int) -> Network:
    """``network`` with every width divided by ``divisor`` (1 at least) on side x side images.

    Classes stay. Raises ``NoScore`` where the thin shapes do not fit together.
    """
    e = GraphEmitter()
    source = e.source(max(1, int(network.source.channels) // divisor), side, side)
    made: dict[int, Tensor] = {INPUT: source}

    def channels(x: Tensor) -> int:
        return max(1, int(x.channels) // divisor)

    def take(x: Tensor) -> Tensor:
        if int(x.producer) == ZEROS:
            return replace(x, channels=channels(x), height=side, width=side)
        return made[int(x.producer)]

    for number, layer in enumerate(network.layers):
        inputs = [take(x) for x in layer.inputs if x.present]
        made[number] = _thin_layer(e, layer, inputs, divisor)
    return e.network(source, take(network.output))


def _thin_layer(e: Emitter, layer: Layer, xs: list[Tensor], divisor: int) -> Tensor:
    x, wide = xs[0], max(1, int(layer.out_channels) // divisor)
    kernel = (int(layer.kernel_height), int(layer.kernel_width))
    pad = (int(layer.pad_height), int(layer.pad_width))
    reach = [int(layer.dilation) * (side - 1) for side in kernel]
    if min(int(x.height) + 2 * pad[0] - reach[0], int(x.width) + 2 * pad[1] - reach[1]) < 1:
        raise NoScore("the network's windows do not fit the small image of this proxy")
    match layer.op:
        case "conv":
            depthwise = layer.groups == layer.in_channels and layer.groups > 1
            return e.conv(
                x,
                int(x.channels) if depthwise else wide,
                kernel,
                int(layer.stride),
                int(x.channels) if depthwise else 1,
                dilation=int(layer.dilation),
                pad=pad,
                norm=layer.norm,
                bias=layer.bias,
                act=layer.act,
            )
        case "linear":
            return e.linear(x, int(layer.out_channels), bias=layer.bias, act=layer.act)
        case "max_pool":
            return e.max_pool(x, kernel[0], int(layer.stride), pad[0])
        case "avg_pool":
            return e.avg_pool(x, kernel[0], int(layer.stride), pad[0])
        case "global_pool":
            return e.global_pool(x)
        case "act":
            return e.activation(x, layer.act)
        case "norm":
            return e.norm(x, layer.act)
        case "slice":
            return e.slice(x, min(wide, int(x.channels)))
        case "pad":
            return e.pad(x, max(wide, int(x.channels)))
        case "add" if len({(int(y.channels), int(y.height), int(y.width)) for y in xs}) == 1:
            return e.add(xs, layer.act)
        case "concat":
            return e.concat(xs)
    raise NoScore(f"layer {layer.name} ({layer.op}) has no copy with few channels")
