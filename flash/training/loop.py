"""Training one network by a recipe, so that killing it loses one epoch at most.

All that is random in an epoch is drawn from (seed, epoch), so weights, momentum and the number
of epochs done are the whole state: a training that was cut and goes on from its checkpoint ends
with the same bits as one that was not (one CPU thread; GPU kernels may add in another order).
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional

from flash.backends.torch.module import TorchNetwork, torch_network
from flash.errors import FlashError, UsageError
from flash.spaces.network import Network
from flash.training.images import ImageSet
from flash.training.recipe import Recipe

__all__ = ["Diverged", "Trained", "hardware_name", "train"]

#: Images a step of the test; it changes nothing but memory.
_TEST_BATCH = 500


class Diverged(FlashError):
    """Raised when a training's loss, or what the trained network says, is no finite number."""


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    test_accuracy: per cent of the test images whose class scores highest.
    seconds:       processor time on a CPU (pauses do not count), elapsed time on a GPU.
    """

    test_accuracy: float
    epochs: int
    seconds: float
    hardware: str


@dataclass
class _State:
    """A training between two epochs."""

    module: TorchNetwork
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    seconds: float = 0.0


def train(
    network: Network,
    images: ImageSet,
    recipe: Recipe,
    seed: int = 0,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Trained:
    """Train ``network`` on all training images and test it on all test images.

    images:     what the recipe asks for (``ImageSet.subset``).
    checkpoint: file that holds the training's state after every epoch. If it is there and is
                of the same network, images, recipe and seed, the training goes on from it.
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
    state = _State(module, _optimizer(module, recipe))
    label = f"{network.params} {network.macs} {images.digest} {recipe!r} {seed}"
    if checkpoint is not None:
        _restore(state, checkpoint, label)
    batches = _Batches(images, recipe, device)
    work = np.square(recipe.sides)  # as pixels; the test costs about a tenth of a full epoch

    def told(share: float) -> None:
        done = work[: state.epoch].sum() + share * work[state.epoch]
        progress(float(done / (work.sum() + 0.1)))

    while state.epoch < recipe.epochs:
        started = _clock(device)
        _epoch(state, batches, recipe, seed, told)
        state.epoch += 1
        state.seconds += _clock(device) - started
        if checkpoint is not None:
            _save(state, checkpoint, label)
    started = _clock(device)
    accuracy = _tested(module, images, batches, device)
    seconds = state.seconds + _clock(device) - started
    progress(1.0)
    return Trained(accuracy, recipe.epochs, seconds, hardware_name(device))


def hardware_name(device: torch.device) -> str:
    """What did the work, for the table of results: the processor's name and the threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # not Linux: the plain name it is
    return f"{name}, {torch.get_num_threads()} thread"


def _device(recipe: Recipe) -> torch.device:
    if recipe.hardware == "cuda" and not torch.cuda.is_available():
        raise UsageError("recipe gpu needs a CUDA device, and there is none here; use recipe cpu")
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


def _autocast(device: torch.device) -> AbstractContextManager[Any]:
    half = torch.bfloat16
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        half = torch.float16
    return torch.autocast(device.type, dtype=half)


# ------------------------------------------------------------------------------------- images
class _Batches:
    """The training images on the device, and batches of them changed at random."""

    def __init__(self, images: ImageSet, recipe: Recipe, device: torch.device) -> None:
        self.device = device
        self.recipe = recipe
        self.pixels = torch.from_numpy(images.train_images).to(device)  # n, h, w, c
        self.labels = torch.from_numpy(images.train_labels).to(device)
        mean, deviation = images.pixel_statistics()
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device)
        self.deviation = torch.tensor(deviation, dtype=torch.float32, device=device)
        self.batch = min(recipe.batch, len(self.labels))
        self.steps = len(self.labels) // self.batch

    def normal(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, h, w, c) bytes -> (n, c, h, w) of mean 0 and deviation 1 over the training set."""
        return ((pixels.float() - self.mean) / self.deviation).permute(0, 3, 1, 2)

    def changed(self, at: np.ndarray[Any, Any], rng: np.random.Generator, share: float) -> Any:
        """These images shifted, perhaps flipped, at this share of their size."""
        rows, columns = self.pixels.shape[1:3]
        y = _moved(rng, len(at), rows, self.recipe.shift)
        x = _moved(rng, len(at), columns, self.recipe.shift)
        flipped = rng.random(len(at)) < 0.5
        x[flipped] = x[flipped, ::-1]
        index, y_at, x_at = (torch.from_numpy(v).to(self.device) for v in (at, y, x))
        taken = self.pixels[index[:, None, None], y_at[:, :, None], x_at[:, None, :]]
        batch = self.normal(taken)
        if share < 1:
            size = (max(round(rows * share), 1), max(round(columns * share), 1))
            batch = functional.interpolate(batch, size, mode="bilinear", antialias=True)
        return batch.contiguous(memory_format=torch.channels_last), self.labels[index]


def _moved(rng: np.random.Generator, images: int, side: int, shift: float) -> Any:
    """For each image the rows (or columns) it takes: all, moved by up to ``shift``, mirrored."""
    most = round(side * shift)
    at = np.abs(np.arange(side) + rng.integers(-most, most + 1, images)[:, None])
    return np.where(at < side, at, 2 * (side - 1) - at)


def _epoch(
    state: _State, batches: _Batches, recipe: Recipe, seed: int, progress: Callable[[float], None]
) -> None:
    rng = np.random.default_rng([seed, state.epoch])
    order = rng.permutation(len(batches.labels))
    share = recipe.sides[state.epoch]
    fp16 = batches.device.type == "cuda" and not torch.cuda.is_bf16_supported()
    scaler = torch.amp.GradScaler(batches.device.type, enabled=fp16)
    state.module.train()
    for step in range(batches.steps):
        images, labels = batches.changed(
            order[step * batches.batch : (step + 1) * batches.batch], rng, share
        )
        done = (state.epoch * batches.steps + step + 1) / (recipe.epochs * batches.steps)
        for group in state.optimizer.param_groups:
            group["lr"] = _rate(recipe, done)
        with _autocast(batches.device):
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


def _tested(
    module: TorchNetwork, images: ImageSet, batches: _Batches, device: torch.device
) -> float:
    """Per cent of the test images classified right, at full size."""
    module.eval()
    right = 0
    with torch.inference_mode(), _autocast(device):
        for start in range(0, len(images.test_labels), _TEST_BATCH):
            part = slice(start, start + _TEST_BATCH)
            pixels = torch.from_numpy(images.test_images[part]).to(device)
            shaped = batches.normal(pixels).contiguous(memory_format=torch.channels_last)
            scores = module(shaped)
            if not bool(torch.isfinite(scores).all()):
                raise Diverged("the trained network's scores are no numbers")
            found = scores.argmax(1).cpu().numpy()
            right += int((found == images.test_labels[part]).sum())
    return 100.0 * right / len(images.test_labels)


# --------------------------------------------------------------------------------- checkpoint
def _save(state: _State, path: Path, label: str) -> None:
    """The state on disk, whole or as it was before."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    content = {
        "label": label,
        "epoch": state.epoch,
        "seconds": state.seconds,
        "module": state.module.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _restore(state: _State, path: Path, label: str) -> None:
    """Go on from the checkpoint, if there is one of this very training that can be read."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        fits = content["label"] == label
    except Exception:  # torch raises anything for a damaged file; then the training starts over
        return
    if fits:
        state.module.load_state_dict(content["module"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.epoch, state.seconds = content["epoch"], content["seconds"]
