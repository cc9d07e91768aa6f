"""HNAS's metrics: size and condition number of the tangent kernel of the labelled class's score."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from flash.proxies.probe import Probe, WeightLayer, class_scores, weight_layers
from flash.proxies.te_nas import condition_number

__all__ = ["hnas_condition", "hnas_trace"]


def hnas_trace(probe: Probe) -> float:
    """sqrt(tr(K) / N), K the tangent kernel of the labelled class's score (Shu et al. 2022).

    ``K_nm = <g_n, g_m>``, over kernels and biases of convolutions and linear layers. As in the
    authors' code ``g_n`` is the part of image n in the gradient of the sum of all scores: of each
    layer its input times what one backward pass brings to its output. Without batch norms, which
    let images act on each other, that is the gradient of its own score.
    """
    return math.sqrt(float(_kernel(probe).trace()) / probe.batch)


def hnas_condition(probe: Probe) -> float:
    """Largest over smallest eigenvalue of the same K.

    Raises ``NoScore`` where K is singular; the authors' code takes 1e5 then.
    """
    return condition_number(_kernel(probe))


def _kernel(probe: Probe) -> torch.Tensor:
    """K, shape (images, images), in double precision; computed once."""
    return probe.once("hnas kernel", lambda: _run(probe))


def _run(probe: Probe) -> torch.Tensor:
    module = probe.module()
    images, labels = probe.labelled()
    seen: list[tuple[WeightLayer, torch.Tensor, torch.Tensor]] = []

    def keep(part: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        assert isinstance(part, WeightLayer)
        seen.append((part, inputs[0].detach(), output))

    handles = [layer.register_forward_hook(keep) for layer in weight_layers(module)]
    try:
        scores = class_scores(module(images))
    finally:
        for handle in handles:
            handle.remove()
    chosen = scores.gather(1, labels[:, None]).sum()
    brought = torch.autograd.grad(chosen, [output for _, _, output in seen])
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)
    for (layer, given, _), by_output in zip(seen, brought, strict=True):
        parts = _of_images(layer, given, by_output).flatten(1).double()
        kernel += parts @ parts.T
        if layer.bias is not None:
            by_bias = by_output if by_output.dim() == 2 else by_output.sum((2, 3))
            kernel += by_bias.double() @ by_bias.double().T
    return kernel


def _of_images(layer: WeightLayer, given: torch.Tensor, by_output: torch.Tensor) -> torch.Tensor:
    """Each image's part of the gradient by the kernel, shape (images, ...)."""
    if isinstance(layer, nn.Linear):
        return by_output[:, :, None] * given[:, None]
    count, groups = len(given), layer.groups
    assert not isinstance(layer.padding, str)
    pieces = functional.unfold(
        given, layer.kernel_size, layer.dilation, layer.padding, layer.stride
    ).reshape(count, groups, -1, by_output[0, 0].numel())
    outputs = by_output.reshape(count, groups, -1, pieces.shape[-1])
    return outputs @ pieces.transpose(2, 3)
