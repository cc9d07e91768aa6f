"""EZNAS-A: the formula that EZNAS evolved, on gradients at the ReLUs before convolutions."""

from __future__ import annotations

import torch

from flash.proxies.observing import results_of
from flash.proxies.probe import NoScore, Probe

__all__ = ["eznas_a", "eznas_a_sum", "sign_volume"]


def eznas_a(probe: Probe) -> float:
    """Mean over ReLU-Conv-BN units of ``sign_volume`` of the gradient at the ReLU's input.

    Akhauri et al., EZNAS, NeurIPS 2022: the expression of their released code, whose argument is
    the gradient at the ReLU (their text says the convolution's weight gradient, which does not
    give their figures). The network is scored on its live part, so units on dead branches, which
    count 0 there, do not count at all.
    """
    volumes = _volumes(probe)
    return sum(volumes) / len(volumes)


def eznas_a_sum(probe: Probe) -> float:
    """The same summed instead: depth counts too, and it ranks NAS-Bench-201 better; ours."""
    return sum(_volumes(probe))


def sign_volume(gradient: torch.Tensor) -> float:
    """|| sigmoid(log det sign(T)) ||, T square maps, shape (batch, channels, side, side).

    The logarithm of a negative determinant counts as 0, that of none as minus infinity.
    """
    volume = torch.logdet(gradient.sign()).nan_to_num(nan=0.0, neginf=-torch.inf)
    return float(volume.sigmoid().norm())


def _volumes(probe: Probe) -> list[float]:
    return probe.once("eznas_a", lambda: _run(probe))


def _run(probe: Probe) -> list[float]:
    """One pass of noise, back from the sum of the pooled features; He's draw by fan-out."""
    layers = probe.network.layers
    rectified = {n for n, layer in enumerate(layers) if layer.act == "relu"}
    read = [int(layer.inputs[0].producer) for layer in layers if layer.op == "conv" and layer.norm]
    units = [number for number in read if number in rectified]
    if not units:
        raise NoScore("no convolution with a batch norm reads a ReLU")
    if any(layers[n].out_height != layers[n].out_width for n in units):
        raise NoScore("its determinants are of square maps")
    pooled = [n for n, layer in enumerate(layers) if layer.op == "global_pool"]
    end = pooled[-1] if pooled else -1
    images = probe.noise((probe.batch, *probe.image_shape), "eznas images")
    kept = results_of(probe.module("fan_out"), images, {*units, end})
    found = dict(zip(units, _at_relus(kept[end], [kept[n] for n in units]), strict=True))
    return [sign_volume(found[n]) for n in units]


def _at_relus(output: torch.Tensor, results: list[torch.Tensor]) -> list[torch.Tensor]:
    """Gradients of the output's sum by what each ReLU read."""
    gradients = torch.autograd.grad(output.sum(), results, allow_unused=True)
    return [
        torch.zeros_like(result) if gradient is None else gradient * (result > 0)
        for gradient, result in zip(gradients, results, strict=True)
    ]
