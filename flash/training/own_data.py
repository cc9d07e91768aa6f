"""Training a model of anyone's on their own samples, so that killing it loses one epoch at most.

As in ``flash.training.loop`` all that is random in an epoch is drawn from (seed, epoch): what was
cut and goes on from its checkpoint ends with the same bits as what was not (one CPU thread). The
schedule is the same one cycle; steps are AdamW's (Loshchilov and Hutter, ICLR 2019,
arXiv:1711.05101), which copes with models whose batch norms are folded away.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from flash.backends.torch.graph import TorchGraph, graph_weights, torch_graph
from flash.errors import NothingDoneError
from flash.files.labelled import Labelled
from flash.training.checkpoint import read_checkpoint, write_checkpoint
from flash.training.precision import autocast
from flash.training.splits import Split

__all__ = ["AUGMENTATIONS", "Fitted", "Plan", "fit_model", "predict"]

#: What a checkpoint holds; one of another layout is not gone on from.
_CHECKPOINT: Final = "layout 2"
#: How much samples are changed: (share of the side that they move by, mirrored, noise, erased).
AUGMENTATIONS: Final = {
    "none": (0.0, False, 0.0, 0.0),
    "light": (1 / 16, True, 0.0, 0.0),
    "strong": (1 / 8, True, 0.05, 0.25),
}
#: Steps an epoch has at least: of few samples fewer are taken at a time.
_LEAST_STEPS: Final = 8
#: Samples a step where nothing is learnt.
_TEST_BATCH: Final = 256
#: Share of the steps that lead up to the highest rate.
_WARM_UP: Final = 0.25
_SMOOTHING: Final = 0.05
#: Temperature of distillation, and its share of the loss (Hinton et al. 2015, arXiv:1503.02531).
_TEMPERATURE, _DISTILLED = 3.0, 0.5


@dataclass(frozen=True)
class Plan:
    """How to train.

    batch:     samples a step, at most; an epoch has 8 steps at least.
    peak_rate: learning rate at the top of the cycle.
    patience:  epochs without a better score on the validation samples after which it ends, once
               the rate has peaked.
    validation: share set aside for those, and as much for test where the files set none aside.
    mixed:      products in bf16 where the processor computes in it.
    """

    epochs: int = 30
    batch: int = 32
    peak_rate: float = 2e-3
    weight_decay: float = 0.01
    patience: int = 10
    augmentation: str = "light"
    validation: float = 0.15
    seed: int = 0
    mixed: bool = False


@dataclass(frozen=True)
class Fitted:
    """What a training came to: curves a value an epoch, and the epoch whose weights were kept."""

    loss: tuple[float, ...]
    score: tuple[float, ...]
    best_epoch: int
    seconds: float
    stopped_early: bool
    weights: dict[str, NDArray[Any]]


@dataclass
class _State:
    """A training between two epochs."""

    module: TorchGraph
    optimizer: torch.optim.Optimizer
    loss: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        """That of the best score, from 1; of several the one of the lowest validation loss.

        Few validation samples have few scores: all are right long before the classes lie apart.
        """
        best = max(self.score, default=0.0)
        ties = [k for k, score in enumerate(self.score) if score == best]
        return 1 + min(ties, key=lambda k: self.validation_loss[k]) if ties else 0

    @property
    def last_better_score(self) -> int:
        """The first of the epochs with the best score, from 1."""
        return 1 + int(np.argmax(self.score)) if self.score else 0


class _Samples:
    """Samples as the network reads them, and labels as the loss does."""

    def __init__(
        self, data: Labelled, mean: NDArray[np.float32], deviation: NDArray[np.float32]
    ) -> None:
        shape = (-1, *(1 for _ in data.inputs.shape[2:]))
        self.inputs = data.inputs
        self.mean, self.deviation = mean.reshape(shape), deviation.reshape(shape)
        self.labels = torch.from_numpy(np.ascontiguousarray(data.labels))
        self.task = data.task

    def normalise_labels(self, train: NDArray[np.int64]) -> None:
        """Labels of mean 0 and deviation 1 over the training samples."""
        labels = self.labels.numpy()
        own = labels[train]
        self.labels = torch.from_numpy(
            (labels - own.mean(0)) / np.maximum(own.std(0), 1e-12)
        ).float()

    def normal(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """Samples of mean 0 and deviation 1 over the training samples."""
        found: NDArray[np.float32] = (
            (self.inputs[at].astype(np.float32) - self.mean) / self.deviation
        ).astype(np.float32)
        return found


def fit_model(
    model: Any,
    data: Labelled,
    parts: Split,
    plan: Plan,
    scaling: tuple[NDArray[np.float32], NDArray[np.float32]],
    *,
    teacher: Any = None,
    checkpoint: Path | None = None,
    progress: Callable[[int, float, float, float], None] = lambda *_: None,
) -> Fitted:
    """Train ``model`` (an ONNX model) on the training samples; its best weights by validation.

    scaling:    mean and deviation a channel that samples are normalised by.
    teacher:    an ONNX model whose outputs are learnt too.
    checkpoint: the state after every epoch; a training of the same data and plan goes on from it.
    progress:   told the epoch, its loss, the validation score and the seconds left.

    Raises ``NothingDoneError`` where the loss is no finite number.
    """
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    module = torch_graph(model)
    taught = torch_graph(teacher) if teacher is not None else None
    state = _State(module, _optimizer(module, plan))
    label = _label(model, data, parts, plan, teacher)
    _restore(state, checkpoint, label)
    samples = _Samples(data, *scaling)
    if data.task == "regression":
        samples.normalise_labels(parts.train)
    early = False
    while len(state.score) < plan.epochs and not early:
        _learn(state, samples, parts, plan, taught)
        if checkpoint is not None:
            _save(state, checkpoint, label)
        left = (plan.epochs - len(state.score)) * state.seconds / len(state.score)
        progress(len(state.score), state.loss[-1], state.score[-1], left)
        risen = round(_WARM_UP * plan.epochs)
        early = len(state.score) - max(state.last_better_score, risen) >= plan.patience
    module.load_state_dict(state.best)
    return Fitted(
        tuple(state.loss),
        tuple(state.score),
        state.best_epoch,
        state.seconds,
        early and len(state.score) < plan.epochs,
        graph_weights(module),
    )


def _optimizer(module: TorchGraph, plan: Plan) -> torch.optim.Optimizer:
    """AdamW; scales, shifts and biases (all of one dimension) do not decay."""
    decayed = [p for p in module.parameters() if p.dim() > 1]
    others = [p for p in module.parameters() if p.dim() <= 1]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": plan.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=plan.peak_rate,
    )


def _learn(
    state: _State, samples: _Samples, parts: Split, plan: Plan, teacher: TorchGraph | None
) -> None:
    """One epoch, and how well its weights do on the validation samples."""
    started = time.perf_counter()
    loss = _epoch(state, samples, parts.train, plan, teacher)
    outputs = _outputs(state.module, samples, parts.validation)
    labels = samples.labels[torch.from_numpy(parts.validation)]
    state.loss.append(loss)
    state.score.append(_score(outputs, labels, samples.task))
    state.validation_loss.append(float(_loss(outputs, labels, samples.task)))
    if state.best_epoch == len(state.score):
        state.best = {k: v.detach().clone() for k, v in state.module.state_dict().items()}
    state.seconds += time.perf_counter() - started


def predict(
    model: Any,
    data: Labelled,
    at: NDArray[np.int64],
    scaling: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """The model's outputs for these samples, (n, outputs)."""
    samples = _Samples(data, *scaling)
    found: NDArray[np.float32] = _outputs(torch_graph(model), samples, at).numpy()
    return found


# ----------------------------------------------------------------------------------- one epoch
def _epoch(
    state: _State,
    samples: _Samples,
    train: NDArray[np.int64],
    plan: Plan,
    teacher: TorchGraph | None,
) -> float:
    epoch = len(state.score)
    rng = np.random.default_rng([plan.seed, 2, epoch])
    order = rng.permutation(train)
    batch = min(plan.batch, max(len(order) // _LEAST_STEPS, 1))
    steps = max(len(order) // batch, 1)
    state.module.train()
    total = 0.0
    for step in range(steps):
        at = order[step * batch : (step + 1) * batch]
        inputs = torch.from_numpy(_changed(samples.normal(at), rng, plan.augmentation))
        done = (epoch * steps + step + 1) / (plan.epochs * steps)
        rate = plan.peak_rate * max(min(done / _WARM_UP, (1 - done) / (1 - _WARM_UP)), 0.0)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        with _precision(plan):
            outputs = _flat(state.module(inputs))
        loss = _loss(outputs, samples.labels[torch.from_numpy(at)], samples.task)
        if teacher is not None:
            with torch.no_grad(), _precision(plan):
                wanted = _flat(teacher(inputs))
            loss = (1 - _DISTILLED) * loss + _DISTILLED * _distance(outputs, wanted, samples.task)
        state.optimizer.zero_grad()
        cast(Any, loss).backward()
        state.optimizer.step()
        if not bool(torch.isfinite(loss)):
            raise NothingDoneError(
                f"the loss is no finite number in epoch {epoch + 1}: try a lower --rate"
            )
        total += float(loss.detach())
    return total / steps


def _precision(plan: Plan) -> AbstractContextManager[Any]:
    """Half precision for products, where the plan and the processor have it."""
    return autocast(torch.device("cpu")) if plan.mixed else nullcontext()


def _changed(x: NDArray[np.float32], rng: np.random.Generator, name: str) -> NDArray[np.float32]:
    """Samples moved, mirrored, with noise and parts erased, as the preset has it."""
    share, mirror, noise, erased = AUGMENTATIONS[name]
    for axis in range(2, x.ndim):
        most = round(share * x.shape[axis])
        if most:
            moved = rng.integers(-most, most + 1, len(x))
            x = np.stack([np.roll(s, m, axis - 1) for s, m in zip(x, moved, strict=True)])
    if mirror and x.ndim == 4:
        flip = rng.random(len(x)) < 0.5
        x = np.where(flip[:, None, None, None], x[..., ::-1], x)
    if noise:
        x = x + rng.normal(0, noise, x.shape).astype(np.float32)
    if erased:
        length = max(1, round(erased * x.shape[-1]))
        starts = rng.integers(0, x.shape[-1] - length + 1, len(x))
        x = x.copy()
        for sample, start in zip(x, starts, strict=True):
            sample[..., start : start + length] = 0
    return np.ascontiguousarray(x, dtype=np.float32)


def _flat(outputs: Any) -> torch.Tensor:
    first: torch.Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return first.reshape(len(first), -1).float()


def _loss(outputs: torch.Tensor, labels: torch.Tensor, task: str) -> torch.Tensor:
    if task == "classification":
        return functional.cross_entropy(outputs, labels, label_smoothing=_SMOOTHING)
    if task == "multi-label":
        return functional.binary_cross_entropy_with_logits(outputs, labels.float())
    return functional.mse_loss(outputs, labels.float())


def _distance(outputs: torch.Tensor, wanted: torch.Tensor, task: str) -> torch.Tensor:
    if task != "classification":
        return functional.mse_loss(outputs, wanted)
    soft = functional.log_softmax(outputs / _TEMPERATURE, 1)
    target = functional.log_softmax(wanted / _TEMPERATURE, 1)
    return _TEMPERATURE**2 * functional.kl_div(soft, target, log_target=True, reduction="batchmean")


def _outputs(module: TorchGraph, samples: _Samples, at: NDArray[np.int64]) -> torch.Tensor:
    module.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(at), _TEST_BATCH):
            inputs = torch.from_numpy(samples.normal(at[start : start + _TEST_BATCH]))
            parts.append(_flat(module(inputs)))
    found = torch.cat(parts)
    if not bool(torch.isfinite(found).all()):
        raise NothingDoneError("the model's outputs are no finite numbers: try a lower --rate")
    return found.clone()


def _score(outputs: torch.Tensor, labels: torch.Tensor, task: str) -> float:
    """More is better: the share classified right, of labels right, or minus the mean square."""
    if task == "classification":
        return float((outputs.argmax(1) == labels).float().mean())
    if task == "multi-label":
        return float(((outputs > 0) == (labels > 0.5)).float().mean())
    return -float(functional.mse_loss(outputs, labels.float()))


# --------------------------------------------------------------------------------- checkpoint
def _label(model: Any, data: Labelled, parts: Split, plan: Plan, teacher: Any) -> str:
    """What a checkpoint is of."""
    found = hashlib.sha256()
    for proto in (model, teacher):
        content = b"" if proto is None else proto
        if not isinstance(content, bytes):
            content = content.SerializeToString(deterministic=True)
        found.update(content)
    for array in (data.inputs, data.labels, parts.train, parts.validation):
        found.update(np.ascontiguousarray(array).tobytes())
    return f"{_CHECKPOINT} {found.hexdigest()} {plan!r}"


def _save(state: _State, path: Path, label: str) -> None:
    content = {
        "loss": state.loss,
        "score": state.score,
        "validation_loss": state.validation_loss,
        "best": state.best,
        "seconds": state.seconds,
        "module": state.module.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }
    write_checkpoint(path, label, content)


def _restore(state: _State, path: Path | None, label: str) -> None:
    """Go on from the checkpoint, if there is one of this very training that can be read."""
    if content := read_checkpoint(path, label):
        state.module.load_state_dict(content["module"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.loss, state.score = content["loss"], content["score"]
        state.validation_loss = content["validation_loss"]
        state.best, state.seconds = content["best"], content["seconds"]
