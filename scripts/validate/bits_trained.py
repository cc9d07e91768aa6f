"""Networks trained here, quantized to 8 and 4 bits: are their drops inside the stated ranges?

    python scripts/validate/bits_trained.py [--train --data cifar10 --folder FOLDER]

Without ``--train`` the recorded table (``recorded/bits-trained.csv``) is held against the ranges
that ``flash.accuracy.bits`` gives of other people's networks. With it the table is made anew: three
small designs of two CIFAR-10 spaces are trained by the recipe ``quick``; what was cut goes on.
Then, each top-1 of the 10,000 test images:

* float: the trained network; int8: the file that ``flash export --format onnx-int8`` writes of it
  (quantized after training, scales from 192 training images), in onnxruntime.
* int4: weights and activations of 4 bits, trained so, which is what the 4-bit range is of: learned
  steps (LSQ, Esser et al., ICLR 2020), first and last layer of 8 bits as there, half an epoch of
  whole images from the float network on, at a tenth of its learning rate. ``float+`` is the float
  network after the same steps: the drop of int4 is counted from it, as what more steps do to a
  network is no effect of bits. That from ``float`` is shown beside it.
* int4 after training, weights only, a step an output channel: not what the range is of.

Steps, rate and what is counted from what were fixed before any figure was seen (the steps were cut
from three epochs while the first network trained, for want of time); the designs are the smallest
of the concatenating space's lists and two of the adding space's whose trainings ended in time.
``seconds`` leaves the trainings of the float networks out. Exit code 1 if a drop of the first two
lies outside its range.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

from flash.accuracy.bits import TRAINED_HERE, drop_without
from flash.backends import module_weights, run_onnx, torch_network
from flash.backends.torch.module import TorchNetwork
from flash.export.calibration import load_images
from flash.export.int8 import int8_build
from flash.export.order import Order
from flash.spaces.network import Network
from flash.spaces.space import load_space
from flash.training import precision
from flash.training.batches import Batches
from flash.training.datasets import read_images
from flash.training.images import ImageSet
from flash.training.loop import train
from flash.training.recipe import Recipe, recipe_named

TABLE: Final = Path(__file__).parent / "recorded" / "bits-trained.csv"
#: The smallest of the concatenating space's lists; two small ones of the adding space's.
DESIGNS: Final = (
    ("cifar10-concat", "w=8,16,32 d=3,5,4 t=0,0,0"),
    ("cifar10-add", "w=20,32,144 b=1,1,1 t=0,0,0"),
    ("cifar10-add", "w=16,32,96 b=2,1,1 t=0,0,0"),
)
SEED: Final = 0
#: Steps on whole images after the training, half an epoch; their learning rate over the recipe's.
STEPS: Final = 352
RATE: Final = 0.1
#: Images whose activations give the first steps.
_FIRST_IMAGES: Final = 256
_BATCH: Final = 500


# ---------------------------------------------------------------------------- learned steps
class _Rounded(torch.autograd.Function):
    """Values on a grid of a step, and LSQ's gradients of value and step."""

    @staticmethod
    def forward(ctx: Any, value: Any, step: Any, low: int, high: int) -> Any:
        scaled = value / step
        ctx.save_for_backward(scaled)
        ctx.ends = (low, high)
        return scaled.clamp(low, high).round_().mul_(step)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (scaled,) = ctx.saved_tensors
        low, high = ctx.ends
        (gradient,) = gradients
        inside = (scaled >= low) & (scaled <= high)
        clamped = scaled.clamp(low, high)
        own = clamped.round() - torch.where(inside, scaled, torch.zeros_like(scaled))
        share = 1 / math.sqrt(scaled.numel() * high)
        return gradient * inside, (gradient * own).sum().reshape(1) * share, None, None


class _Steps(nn.Module):
    """Rounds to so many bits by a step that is learned, as a parametrization or on an input."""

    def __init__(self, first: torch.Tensor, bits: int) -> None:
        super().__init__()
        signed = bool((first < 0).any())
        self.low = -(2 ** (bits - 1)) if signed else 0
        self.high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        size = float(first.abs().mean()) or 1e-3
        self.step = nn.Parameter(torch.tensor([2 * size / math.sqrt(self.high)]))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """The value, rounded."""
        step = self.step.abs() + 1e-8
        rounded: torch.Tensor = cast(Any, _Rounded).apply(value.float(), step, self.low, self.high)
        return rounded


def with_few_bits(module: TorchNetwork, images: torch.Tensor, bits: int = 4) -> TorchNetwork:
    """Weights and inputs of every convolution and linear layer rounded; of the ends by 8 bits."""
    parts = [x for x in module.modules() if isinstance(x, nn.Conv2d | nn.Linear)]
    seen: dict[nn.Module, torch.Tensor] = {}
    hooks = [
        part.register_forward_pre_hook(lambda own, values: seen.update({own: values[0]}))
        for part in parts
    ]
    module.eval()
    with torch.no_grad():
        module(images)
    for hook in hooks:
        hook.remove()
    for part in parts:
        own = 8 if part in (parts[0], parts[-1]) else bits
        inputs = _Steps(seen[part], own)
        part.add_module("inputs_of_few_bits", inputs)
        part.register_forward_pre_hook(lambda _, values, inputs=inputs: (inputs(values[0]),))
        parametrize.register_parametrization(part, "weight", _Steps(part.weight.detach(), own))
    return module


# --------------------------------------------------------------------------------- trainings
def tuned(module: TorchNetwork, batches: Batches, recipe: Recipe) -> TorchNetwork:
    """The module after ``STEPS`` steps on whole images, the rate falling to nothing."""
    decaying = [p for p in module.parameters() if p.dim() > 1]
    others = [p for p in module.parameters() if p.dim() <= 1]
    peak = RATE * recipe.peak_rate
    parts: list[dict[str, Any]] = [
        {"params": decaying, "weight_decay": recipe.weight_decay}, {"params": others}
    ]  # fmt: skip
    optimizer = torch.optim.SGD(
        parts,
        lr=peak, momentum=recipe.momentum, nesterov=True,
    )  # fmt: skip
    module.train()
    rng = np.random.default_rng([SEED, 1000])
    order = rng.permutation(batches.images)
    mirrored = rng.random(batches.images) < 0.5
    for step in range(STEPS):
        chosen = order[step * batches.batch : (step + 1) * batches.batch]
        images, labels = batches.changed(chosen, rng, 1.0, mirrored[chosen])
        for group in optimizer.param_groups:
            group["lr"] = peak * (1 - step / STEPS)
        with precision.autocast(batches.device):
            scores = module(images)
        loss = functional.cross_entropy(
            scores.float(), labels, label_smoothing=recipe.label_smoothing
        )
        optimizer.zero_grad()
        cast(Any, loss).backward()
        optimizer.step()
    return module


def float_module(network: Network, images: ImageSet, recipe: Recipe, path: Path) -> TorchNetwork:
    """The network trained by the recipe; its checkpoint stays at ``path``."""
    train(network, images, recipe, SEED, checkpoint=path)
    module = torch_network(network.live(), seed=SEED)
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["module"])
    return module


# ------------------------------------------------------------------------------- accuracies
def _pieces(pixels: NDArray[Any], batches: Batches) -> Iterator[torch.Tensor]:
    for start in range(0, len(pixels), _BATCH):
        yield batches.normal(torch.from_numpy(pixels[start : start + _BATCH])).contiguous()


def percent(module: nn.Module, images: ImageSet, batches: Batches) -> float:
    """Top-1 of the test images, in fp32."""
    module.eval()
    with torch.inference_mode():
        found = [module(x).argmax(1).numpy() for x in _pieces(images.test_images, batches)]
    return round(100 * float(np.mean(np.concatenate(found) == images.test_labels)), 2)


def percent_of_file(content: bytes, images: ImageSet, batches: Batches) -> float:
    """The same of an ONNX file, an image at a time, as delivered."""
    found = []
    for piece in _pieces(images.test_images, batches):
        for image in piece.numpy():
            (scores,) = run_onnx(content, {"input": image[None]}).values()
            found.append(int(scores.argmax()))
    return round(100 * float(np.mean(np.array(found) == images.test_labels)), 2)


def weights_rounded(module: TorchNetwork, bits: int = 4) -> TorchNetwork:
    """Weights alone rounded after training: a step an output channel, from its largest weight."""
    high = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                flat = part.weight.flatten(1)
                step = (flat.abs().amax(1, keepdim=True) / high).clamp_min(1e-12)
                part.weight.copy_(((flat / step).round() * step).view_as(part.weight))
    return module


def measure(space_name: str, design: str, data: Path, folder: Path) -> dict[str, Any]:
    """One row of the table."""
    began = time.process_time()
    space, recipe = load_space(space_name), recipe_named("quick")
    network = space.network(space.design(space.family.parse(design)))
    images = read_images(data, space.family.shape, space.family.classes).subset(recipe.images)
    path = folder / f"{space_name} {design}.pt"
    batches = Batches(images, recipe, torch.device("cpu"))
    first = next(_pieces(images.train_images[:_FIRST_IMAGES], batches))

    def trained() -> TorchNetwork:
        return float_module(network, images, recipe, path)

    row: dict[str, Any] = {"space": space_name, "design": design, "macs": int(network.macs)}
    module = trained()
    row["float"] = percent(module, images, batches)
    shape = space.family.shape
    order = Order(
        network.live(), "trained", module_weights(module), "trained", SEED,
        load_images(data, (shape.channels, shape.height, shape.width)),
    )  # fmt: skip
    content = next(iter(int8_build(order).files.values()))
    row["int8"] = percent_of_file(content, images, batches)
    row["int4_weights_after_training"] = percent(weights_rounded(trained()), images, batches)
    row["float_plus"] = percent(tuned(trained(), batches, recipe), images, batches)
    row["int4"] = percent(tuned(with_few_bits(trained(), first), batches, recipe), images, batches)
    return row | {"seconds": round(time.process_time() - began)}


def check(rows: list[dict[str, str]]) -> bool:
    """Print the drops beside the ranges; whether all lie inside."""
    eight, four = (drop_without(bits, TRAINED_HERE) for bits in (8, 4))
    print(
        f"ranges: 8 bits {eight.low:+.2f} to {eight.high:+.2f}, "
        f"4 bits {four.low:+.2f} to {four.high:+.2f}"
    )
    good = True
    for row in rows:
        value = {k: float(row[k]) for k in row if k not in ("space", "design")}
        drops = (
            (eight, value["float"] - value["int8"]),
            (four, value["float_plus"] - value["int4"]),
        )
        inside = [drop.low - 1e-9 <= points <= drop.high + 1e-9 for drop, points in drops]
        good = good and all(inside)
        words = [
            f"int{drop.bits} {points:+.2f} {'inside' if own else 'OUTSIDE'}"
            for (drop, points), own in zip(drops, inside, strict=True)
        ]
        plain = value["float"] - value["int4"]
        after = value["float"] - value["int4_weights_after_training"]
        print(
            f"{row['space']:22s} float {value['float']:.2f}: {', '.join(words)} "
            f"({plain:+.2f} from the float network without more steps); "
            f"4-bit weights after training {after:+.2f}"
        )
    return good


def main() -> int:
    """Print the table; 1 where a drop lies outside its range."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", action="store_true", help="make the table anew")
    parser.add_argument("--data", type=Path, default=Path("cifar10"))
    parser.add_argument("--folder", type=Path, default=Path("bits"), help="of the checkpoints")
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    if options.train:
        torch.set_num_threads(1)
        rows = []
        for space, design in DESIGNS:
            rows.append(measure(space, design, options.data, options.folder))
            print(rows[-1], flush=True)
            with options.table.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    with options.table.open(encoding="utf-8") as file:
        return 0 if check(list(csv.DictReader(file))) else 1


if __name__ == "__main__":
    sys.exit(main())
