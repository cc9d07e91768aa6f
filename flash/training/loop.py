"""Training one network by a recipe, so that killing it loses one epoch at most.

All that is random in an epoch is drawn from (seed, epoch), so weights, momentum and the number
of epochs done are the whole state: a training that was cut and goes on from its checkpoint ends
with the same bits as one that was not (one CPU thread; GPU kernels may add in another order).
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional

from flash.backends.torch.module import TorchNetwork, torch_network
from flash.errors import FlashError, UsageError
from flash.spaces.network import Network
from flash.training import precision
from flash.training.batches import TEST_BATCH, Batches, Part
from flash.training.checkpoint import read_checkpoint, write_checkpoint
from flash.training.images import ImageSet
from flash.training.recipe import Recipe

__all__ = ["Diverged", "Trained", "hardware_name", "train"]

#: Stands where an epoch's number does in the seed of what is drawn once for all epochs.
_FLIPS = 1 << 20


class Diverged(FlashError):
    """Raised when a training's loss, or what the trained network says, is no finite number."""


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    validation_accuracy: per cent of the validation images whose class scores highest, in the end.
    test_accuracy: the same of the test images; nan of a training that stopped before its end.
    curve:   validation accuracy after each epoch, on images as small as that epoch's.
    seconds: processor time on a CPU (pauses do not count), elapsed time on a GPU.
    """

    validation_accuracy: float
    test_accuracy: float
    curve: tuple[float, ...]
    epochs: int
    seconds: float
    hardware: str


@dataclass
class _State:
    """A training between two epochs."""

    module: TorchNetwork
    optimizer: torch.optim.Optimizer
    half: bool = True
    seconds: float = 0.0
    curve: list[float] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Epochs done: each has its point on the curve."""
        return len(self.curve)


def train(
    network: Network,
    images: ImageSet,
    recipe: Recipe,
    seed: int = 0,
    *,
    checkpoint: Path | None = None,
    until: int | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Trained:
    """Train ``network`` on the training images but those for validation, then test it.

    images:     what the recipe asks for (``ImageSet.subset``).
    checkpoint: file that holds the training's state after every epoch. If it is there and is
                of the same network, images, recipe and seed, the training goes on from it.
    until:      epochs after which it stops, of the recipe's; None for all. The test images are
                not read then, and the same call with a later end goes on from the checkpoint, to
                the same bits as a training that did not stop.
    progress:   told the share of the work done, 0 to 1, after every step of a few.

    Raises ``Diverged`` when the loss or a score is no number, ``UsageError`` where the recipe's
    hardware is not there, ``OSError`` when the checkpoint cannot be written.
    """
    device = _device(recipe)
    if device.type == "cpu":
        torch.set_num_threads(1)
    # Layers that no input reaches, or no output reads, would learn nothing.
    module = torch_network(network.live(), seed=seed).to(device)
    cast(Any, module).to(memory_format=torch.channels_last)  # PyTorch's stubs do not know it
    half = precision.halves(module, device)
    state = _State(module, _optimizer(module, recipe), half)
    hardware = hardware_name(device, half=half)
    label = f"{network.params} {network.macs} {images.digest} {recipe!r} {seed}"
    if not half and precision.computes_bf16():
        label += " fp32"  # other bits than those of a training that began in bf16
    if checkpoint is not None:
        _restore(state, checkpoint, label)
    batches = Batches(images, recipe, device)
    work = np.square(recipe.sides)  # as pixels; the test costs about a tenth of a full epoch

    def told(share: float) -> None:
        done = work[: state.epoch].sum() + share * work[state.epoch]
        progress(float(done / (work.sum() + 0.1)))

    last = recipe.epochs if until is None else min(until, recipe.epochs)
    while state.epoch < last:
        started = _clock(device)
        share = recipe.sides[state.epoch]
        _epoch(state, batches, recipe, seed, told)
        state.curve.append(_accuracy(state, batches.validation(share), batches))
        state.seconds += _clock(device) - started
        if checkpoint is not None:
            _save(state, checkpoint, label)
    if last < recipe.epochs:
        curve = tuple(state.curve[:last])
        return Trained(curve[-1], math.nan, curve, last, state.seconds, hardware)
    started = _clock(device)
    test = Part(torch.from_numpy(images.test_images), torch.from_numpy(images.test_labels))
    accuracy = _accuracy(state, test, batches)
    seconds = state.seconds + _clock(device) - started
    progress(1.0)
    return Trained(state.curve[-1], accuracy, tuple(state.curve), recipe.epochs, seconds, hardware)


def hardware_name(device: torch.device, *, half: bool) -> str:
    """What did the work, for the table of results: processor, threads used and number format."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = precision.processor().get("model name", platform.processor() or platform.machine())
    numbers = "bf16" if half else "fp32"
    return f"{name}, {torch.get_num_threads()} thread, {numbers}"


def _device(recipe: Recipe) -> torch.device:
    if recipe.hardware == "cuda" and not torch.cuda.is_available():
        raise UsageError("recipe gpu needs a CUDA device, and there is none here; use recipe quick")
    return torch.device(recipe.hardware)


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def _optimizer(module: TorchNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD; scales, shifts and biases (all of one dimension) do not decay."""
    weights = [p for p in module.parameters() if p.dim() > 1]
    others = [p for p in module.parameters() if p.dim() <= 1]
    return torch.optim.SGD(
        [
            {"params": weights, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.peak_rate,
        momentum=recipe.momentum,
        nesterov=True,
    )


def _rate(recipe: Recipe, share: float) -> float:
    """The learning rate when this share of the steps is done: up, then down to nothing."""
    up = share / recipe.warm_up
    down = (1 - share) / (1 - recipe.warm_up)
    return recipe.peak_rate * max(min(up, down), 0.0)


# ---------------------------------------------------------------------------------- one epoch
def _epoch(
    state: _State, batches: Batches, recipe: Recipe, seed: int, progress: Callable[[float], None]
) -> None:
    rng = np.random.default_rng([seed, state.epoch])
    order = rng.permutation(batches.images)
    # Half of the images, drawn once, are mirrored in even epochs, the others in odd ones.
    mirrored = np.random.default_rng([seed, _FLIPS]).random(batches.images) < 0.5
    mirrored ^= state.epoch % 2 == 1
    share = recipe.sides[state.epoch]
    fp16 = batches.device.type == "cuda" and not torch.cuda.is_bf16_supported()
    scaler = torch.amp.GradScaler(batches.device.type, enabled=fp16)
    state.module.train()
    for step in range(batches.steps):
        chosen = order[step * batches.batch : (step + 1) * batches.batch]
        images, labels = batches.changed(chosen, rng, share, mirrored[chosen])
        done = (state.epoch * batches.steps + step + 1) / (recipe.epochs * batches.steps)
        for group in state.optimizer.param_groups:
            group["lr"] = _rate(recipe, done)
        with precision.autocast(batches.device, half=state.half):
            scores = state.module(images)
        loss = functional.cross_entropy(
            scores.float(), labels, label_smoothing=recipe.label_smoothing
        )
        state.optimizer.zero_grad()
        cast(Any, scaler.scale(loss)).backward()
        scaler.step(state.optimizer)
        scaler.update()
        if step % 10 == 9 or step == batches.steps - 1:
            if not bool(torch.isfinite(loss)):
                raise Diverged(f"the loss is no number in epoch {state.epoch + 1}")
            progress((step + 1) / batches.steps)


def _accuracy(state: _State, part: Part, batches: Batches) -> float:
    """Per cent of the images classified right."""
    module = state.module.eval()
    right = 0
    with torch.inference_mode(), precision.autocast(batches.device, half=state.half):
        for start in range(0, len(part.labels), TEST_BATCH):
            pixels = part.pixels[start : start + TEST_BATCH].to(batches.device)
            labels = part.labels[start : start + TEST_BATCH].to(batches.device)
            shaped = batches.normal(pixels).contiguous(memory_format=torch.channels_last)
            scores = module(shaped)
            if not bool(torch.isfinite(scores).all()):
                raise Diverged("the trained network's scores are no numbers")
            right += int((scores.argmax(1) == labels).sum())
    return 100.0 * right / len(part.labels)


# --------------------------------------------------------------------------------- checkpoint
def _save(state: _State, path: Path, label: str) -> None:
    content = {
        "epoch": state.epoch,
        "seconds": state.seconds,
        "curve": state.curve,
        "module": state.module.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }
    write_checkpoint(path, label, content)


def _restore(state: _State, path: Path, label: str) -> None:
    """Go on from the checkpoint, if there is one of this very training that can be read."""
    if content := read_checkpoint(path, label):
        state.module.load_state_dict(content["module"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.curve, state.seconds = content["curve"], content["seconds"]
