"""A network computed by NumPy from its layers alone: the reference for exported models.

Nothing here comes from ``flash.backends``: each operation is written down from its definition,
in double precision.
"""

from __future__ import annotations

import numpy as np

EPSILON = 1e-5


def compute(network, weights, image):
    """Output of the network (channels, height, width) for an image of that form."""
    values = []

    def read(x):
        if x.producer == -1:
            value = image.astype(np.float64)
        elif x.producer == -2:
            value = np.zeros((x.channels, x.height, x.width))
        else:
            value = values[x.producer]
        assert value.shape == (x.channels, x.height, x.width)
        return value

    for layer in network.layers:
        y = _layer(layer, [read(x) for x in layer.inputs if x.present or layer.operands == 1],
                   {k.rpartition(".")[2]: weights[k].astype(np.float64)
                    for k in _names(layer) if k in weights})  # fmt: skip
        assert y.shape == (layer.out_channels, layer.out_height, layer.out_width), layer.name
        values.append(y)
    return read(network.output)


def trained_looking(weights, seed):
    """Weights whose biases and batch norms are not the identity, so that mix-ups show."""
    rng = np.random.default_rng(seed)
    result = dict(weights)
    for name, value in weights.items():
        part = name.rpartition(".")[2]
        if part in ("scale", "variance"):
            result[name] = rng.uniform(0.6, 1.4, value.shape).astype(np.float32)
        elif part in ("bias", "shift", "mean"):
            result[name] = rng.normal(0, 0.2, value.shape).astype(np.float32)
    return result


def _names(layer):
    parts = ("weight", "bias", "scale", "shift", "mean", "variance")
    return [f"{layer.name}.{part}" for part in parts]


def _layer(layer, xs, w):
    x = xs[0]
    if layer.op == "conv":
        y = _conv(layer, x, w["weight"])
    elif layer.op == "linear":
        y = (w["weight"] @ x.ravel())[:, None, None]
    elif layer.op in ("max_pool", "avg_pool"):
        y = _pool(layer, x)
    elif layer.op == "global_pool":
        y = x.mean(axis=(1, 2), keepdims=True)
    elif layer.op == "add":
        assert len(xs) == layer.operands
        y = np.sum(xs, axis=0)
    elif layer.op == "concat":
        y = np.concatenate(xs)
    elif layer.op == "slice":
        y = x[: layer.out_channels]
    elif layer.op == "pad":
        y = np.concatenate([x, np.zeros((layer.out_channels - len(x), *x.shape[1:]))])
    else:
        assert layer.op in ("act", "norm"), layer.op
        y = x
    if layer.bias:
        y = y + w["bias"][:, None, None]
    if layer.norm:
        scale = w["scale"] / np.sqrt(w["variance"] + EPSILON)
        y = (y - w["mean"][:, None, None]) * scale[:, None, None] + w["shift"][:, None, None]
    upper = {"": None, "relu": np.inf, "relu6": 6.0}[layer.act]
    return y if upper is None else np.clip(y, 0.0, upper)


def _conv(layer, x, weight):
    groups = layer.groups
    padded = _padded(layer, x, 0.0).reshape(groups, layer.in_channels // groups, -1)
    shape = (x.shape[1] + 2 * layer.pad_height, x.shape[2] + 2 * layer.pad_width)
    padded = padded.reshape(groups, -1, *shape)
    area = layer.out_height * layer.out_width
    weight = weight.reshape(groups, -1, *weight.shape[1:])
    y = 0.0
    for i, j, window in _windows(layer, padded):
        y = y + weight[..., i, j] @ window.reshape(groups, -1, area)
    return y.reshape(layer.out_channels, layer.out_height, layer.out_width)


def _pool(layer, x):
    if layer.op == "max_pool":
        views = [view for _, _, view in _windows(layer, _padded(layer, x, -np.inf))]
        return np.max(views, axis=0)
    total = sum(view for _, _, view in _windows(layer, _padded(layer, x, 0.0)))
    count = sum(view for _, _, view in _windows(layer, _padded(layer, np.ones_like(x), 0.0)))
    return total / count


def _padded(layer, x, value):
    height, width = layer.pad_height, layer.pad_width
    return np.pad(x, ((0, 0), (height, height), (width, width)), constant_values=value)


def _windows(layer, x):
    """For each position in the window, what it sees at every output position."""
    step = layer.stride
    for i in range(layer.kernel_height):
        for j in range(layer.kernel_width):
            at, beside = i * layer.dilation, j * layer.dilation
            rows = slice(at, at + step * (layer.out_height - 1) + 1, step)
            columns = slice(beside, beside + step * (layer.out_width - 1) + 1, step)
            yield i, j, x[..., rows, columns]
