"""What proxies look at while a module runs: activation codes, blocks, gradients of the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from flash.backends.torch.module import TorchNetwork
from flash.proxies.probe import JACOBIAN, NoScore, Probe, class_scores, weight_layers
from flash.spaces.network import Network

__all__ = [
    "LossGradients",
    "block_ends",
    "codes_seen",
    "loss_gradients",
    "per_image_gradients",
    "results_of",
    "weight_outputs",
]

#: Activations whose result is positive exactly where their input is.
_SIGNED: Final = ("relu", "relu6", "silu", "hard_swish", "tanh")


def codes_seen(
    module: TorchNetwork, images: torch.Tensor, see: Callable[[torch.Tensor], None]
) -> None:
    """Run forward and hand over each activation's code, bool of shape (batch, neurons).

    A neuron's code says for each image whether it is on. Raises ``NoScore`` without ReLUs.
    """
    layers = module.network.layers
    if not any(layer.act in _SIGNED for layer in layers):
        raise NoScore("the network has no ReLU or similar activation")

    def observe(number: int, result: torch.Tensor) -> None:
        if layers[number].act in _SIGNED:
            code = result > 0
            # Neurons in the order they lie in: nobody asks which is which.
            see((code.permute(0, 2, 3, 1) if code.dim() == 4 else code).flatten(1))

    with torch.no_grad():
        module(images, observe)


def results_of(
    module: TorchNetwork, images: torch.Tensor, wanted: set[int]
) -> dict[int, torch.Tensor]:
    """Results of the layers in ``wanted``, by number; the last one, -1, is the output."""
    kept: dict[int, torch.Tensor] = {}

    def observe(number: int, result: torch.Tensor) -> None:
        if number in wanted:
            kept[number] = result

    kept[-1] = module(images, observe)
    return kept


def block_ends(network: Network) -> list[int]:
    """The last layer of each block before the head, in order (the network live).

    A block is a cell, or a run of layers between cells. A network without cells (from a file)
    has its blocks where a single tensor is alive: all that follows depends on it alone. The
    head begins at the layer that pools the whole map, or at the first linear layer.
    """
    layers = network.layers
    heads = (n for n, x in enumerate(layers) if x.op in ("global_pool", "linear"))
    head = next(heads, len(layers))
    if any(layer.cell >= 0 for layer in layers):
        ends = [
            n for n in range(head) if n + 1 == len(layers) or layers[n].cell != layers[n + 1].cell
        ]
        return [n for n in ends if n + 1 < head or layers[n].cell >= 0]
    last_read = {
        int(x.producer): n for n, layer in enumerate(layers) for x in layer.inputs if x.present
    }
    ends, alive_until = [], 0
    for n in range(head):
        if alive_until <= n:  # nothing before layer n is read after it
            ends.append(n)
        alive_until = max(alive_until, last_read.get(n, n))
    return ends


@contextmanager
def weight_outputs(module: TorchNetwork) -> Iterator[list[torch.Tensor]]:
    """Results of convolutions and linear layers before batch norm, filled as the module runs."""
    seen: list[torch.Tensor] = []

    def keep(part: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen.append(output)

    handles = [layer.register_forward_hook(keep) for layer in weight_layers(module)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class LossGradients:
    """Gradients of the cross-entropy of one batch, a tensor a convolution or linear layer.

    kernels, by_kernel: the kernels, and the gradient by each.
    outputs, by_output: the layers' results before batch norm, and the gradient by each.
    loss:    the cross-entropy.
    """

    kernels: list[torch.Tensor]
    by_kernel: list[torch.Tensor]
    outputs: list[torch.Tensor]
    by_output: list[torch.Tensor]
    loss: float


def loss_gradients(probe: Probe, draw: int = 0) -> LossGradients:
    """Gradients of the loss of batch ``draw`` at PyTorch's own initialisation, computed once."""

    def compute() -> LossGradients:
        module = probe.module()
        kernels = [layer.weight for layer in weight_layers(module)]
        images, labels = probe.labelled(draw)
        twice = draw == 0 and "jacob_cov" in probe.asked
        images.requires_grad_(twice)
        with weight_outputs(module) as outputs:
            scores = class_scores(module(images))
        loss = functional.cross_entropy(scores, labels)
        found = torch.autograd.grad(loss, [*kernels, *outputs], retain_graph=twice)
        if twice:
            probe.once(JACOBIAN, lambda: torch.autograd.grad(scores.sum(), images)[0])
        return LossGradients(
            [kernel.detach() for kernel in kernels],
            list(found[: len(kernels)]),
            [output.detach() for output in outputs],
            list(found[len(kernels) :]),
            float(loss.detach()),
        )

    return probe.once(f"loss gradients {draw}", compute)


def per_image_gradients(
    module: TorchNetwork, images: torch.Tensor, choose: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[list[torch.Tensor]]:
    """For each image the gradients of ``choose(class scores)[image]``, kernels only.

    The batch runs forward once, with batch statistics; each image then takes a backward pass.
    """
    weights = [layer.weight for layer in weight_layers(module)]
    chosen = choose(class_scores(module(images)))
    for k, value in enumerate(chosen):
        more = k + 1 < len(chosen)
        yield list(torch.autograd.grad(value, weights, retain_graph=more))
