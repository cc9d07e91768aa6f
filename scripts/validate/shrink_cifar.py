"""Variants by flash.shrink beside one global width multiplier, trained on CIFAR-10.

    python scripts/validate/shrink_cifar.py --data FOLDER --out FOLDER --target T [--seeds 3]

FOLDER has CIFAR-10 as ``flash.calibrate`` reads it. Two networks, like ResNet-20 and like
MobileNet-V2, read images of 16 x 16 (means of four pixels) and are trained on the first 10,000 (the
second on 4,000) by ``flash.train``, 5 epochs. Then, of each:

* the multiplier: every width at half, all blocks; what people do;
* ours: of the certified front for ``--target``, the design of highest kept importance under a limit
  at which its latency *measured here* (least processor time of one thread, in turns) is that of the
  multiplier within 3 %;
* both with the weights they inherit, 3 epochs each, all seeds; ours with inherited and with random
  weights, one epoch each.

Accuracy is of all 10,000 test images. What is done is not done again: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional

from flash.backends import Open, time_onnx, variants_of_file
from flash.metrics import METRICS
from flash.search import search
from flash.shrink import shrink
from flash.spaces.family import InputShape
from flash.spaces.space import load_space
from flash.targets.processor.profile import load_profile
from flash.train import train
from flash.training.datasets import read_images

SIDE = 16
#: Images that each is trained on; the second takes twice as long a step.
IMAGES = {"resnet20": 10_000, "mobilenet-v2": 4_000}
BASE_EPOCHS, EPOCHS, BATCH = 5, 3, 64
#: Of the highest rate: a fine-tuned variant has weights to lose.
RATES = {"base": 4e-3, "variant": 2e-3}
#: How far ours may be from the multiplier, measured.
TOLERANCE = 0.03
#: Limits that are tried.
_TURNS = 10


def _conv(read: int, made: int, kernel: int = 3, stride: int = 1, groups: int = 1,
          act: bool = True) -> nn.Sequential:  # fmt: skip
    own = nn.Conv2d(read, made, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(own, nn.BatchNorm2d(made), nn.ReLU() if act else nn.Identity())


class Basic(nn.Module):
    """He et al. 2016: two 3x3 convolutions beside a skip."""

    def __init__(self, read: int, made: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(read, made, 3, stride), _conv(made, made, act=False))
        same = stride == 1 and read == made
        self.skip = nn.Identity() if same else _conv(read, made, 1, stride, act=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, side, side)."""
        found: torch.Tensor = functional.relu(self.body(x) + self.skip(x))
        return found


class Inverted(nn.Module):
    """Sandler et al. 2018: expand, a depthwise convolution, project."""

    def __init__(self, read: int, made: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = read * expansion
        self.body = nn.Sequential(
            _conv(read, inner, 1), _conv(inner, inner, 3, stride, inner),
            _conv(inner, made, 1, act=False),
        )  # fmt: skip
        self.same = stride == 1 and read == made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, side, side)."""
        found: torch.Tensor = self.body(x)
        return x + found if self.same else found


class Network(nn.Module):
    """A stem, blocks, the mean of every channel, a classifier."""

    def __init__(self, stem: int, blocks: list[nn.Module], last: int) -> None:
        super().__init__()
        self.features = nn.Sequential(_conv(3, stem), *blocks)
        self.classify = nn.Linear(last, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, side, side)."""
        found: torch.Tensor = self.classify(self.features(x).mean((2, 3)))
        return found


def resnet20() -> Network:
    blocks: list[nn.Module] = []
    read = 16
    for made in (16, 32, 64):
        for k in range(3):
            blocks.append(Basic(read, made, 2 if k == 0 and made > 16 else 1))
            read = made
    return Network(16, blocks, read)


def mobilenet_v2() -> Network:
    blocks: list[nn.Module] = []
    read = 16
    for made, count, stride in ((16, 1, 1), (24, 2, 1), (32, 3, 2), (64, 3, 2), (96, 1, 1)):
        for k in range(count):
            blocks.append(Inverted(read, made, stride if k == 0 else 1, 4))
            read = made
    blocks.append(_conv(read, 256, 1))
    return Network(16, blocks, 256)


NETWORKS = {"resnet20": resnet20, "mobilenet-v2": mobilenet_v2}


def write_data(source: Path, file: Path, most: int) -> None:
    """So many of the images in 16 x 16, as ``flash.train`` reads them."""
    given = read_images(source, InputShape(3, 32, 32), 10)
    arrays: dict[str, Any] = {}
    for part, images, labels in (
        ("train", given.train_images[:most], given.train_labels[:most]),
        ("test", given.test_images, given.test_labels),
    ):
        small = images.reshape(len(images), SIDE, 2, SIDE, 2, 3).mean((2, 4)).round()
        arrays |= {f"x_{part}": small.astype(np.uint8), f"y_{part}": labels.astype(np.int64)}
    np.savez(file, **arrays)


def write_network(name: str, file: Path) -> None:
    """The network as drawn, batch norms kept: they are what is trained."""
    torch.manual_seed(0)
    module = NETWORKS[name]().eval()
    torch.onnx.export(
        module, (torch.zeros(1, 3, SIDE, SIDE),), str(file), dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
    )  # fmt: skip


class Trainings:
    """Trainings by name: done once, each in a folder of its own."""

    def __init__(self, out: Path, data: Path) -> None:
        self.out, self.data = out, data

    def run(self, name: str, model: Path, epochs: int, rate: float, seed: int) -> float:
        """Test accuracy in per cent."""
        done = self.out / name / "train.json"
        if not done.exists():
            train(
                model,
                self.data,
                epochs=epochs,
                batch=BATCH,
                rate=rate,
                patience=epochs,
                seed=seed,
                out=done.parent,
                progress=lambda line: print(name, line, file=sys.stderr, flush=True),
            )
        return float(json.loads(done.read_text(encoding="utf-8"))["metrics"]["accuracy"])


def uniform(variants: Any, share: float) -> dict[str, int]:
    """Values nearest to this share of every width, all blocks."""
    found = {}
    for choice in variants.choices:
        most = choice.values[-1]
        wanted = most if choice.kind in ("depth", "kernel") else share * most
        found[choice.name] = min(choice.values, key=lambda v: (abs(v - wanted), -v))
    return found


def equal_pick(
    variants: Any, space_file: str, target: str
) -> tuple[Mapping[str, int], dict[str, float]]:
    """The variant of highest importance that is measured as fast as the multiplier (3 %).

    The limit on the predicted latency is halved upon until the measured ones agree.
    """
    space = load_space(space_file)
    half = uniform(variants, 0.5)
    content = variants.model(half).SerializeToString()
    feeds = {n: np.zeros(s, np.float32) for n, s in variants.frozen.inputs.items()}
    front = search(target, space_file, optimizer="exact").front
    low, high = (end(d.latency_ms.value for d in front) for end in (min, max))
    for _ in range(_TURNS):
        limit = (low + high) / 2
        within = [d for d in front if d.latency_ms.value <= limit]
        chosen = max(within, key=lambda d: d.quantity("kept_importance") or 0.0)
        file = variants.model(chosen.design).SerializeToString()
        pairs = [time_onnx([content, file], feeds, seconds=4.0, busy=True) for _ in range(2)]
        base, own = np.min(pairs, axis=0)
        if abs(own / base - 1) <= TOLERANCE:
            break
        low, high = (limit, high) if own < base else (low, limit)
    (whole,) = time_onnx([variants.content], feeds, seconds=2.0, busy=True)
    score = METRICS["kept_importance"].of_designs(space, space.design(half)[None])
    return chosen.design, {
        "model_ms": whole,
        "multiplier_ms": float(base),
        "ours_ms": float(own),
        "ratio": float(own / base),
        "ours_importance": chosen.quantity("kept_importance") or 0.0,
        "multiplier_importance": float(score["kept_importance"][0]),
    }


def drawn_anew(model: Any, seed: int) -> Any:
    """With random weights, He et al. 2015 for kernels; norms as they begin."""
    rng = np.random.default_rng(seed)
    for node in model.graph.node:
        stored = {t.name: t for t in model.graph.initializer}
        if node.op_type == "BatchNormalization":
            for name, value in zip(node.input[1:], (1, 0, 0, 1), strict=True):
                _put(stored[name], np.full(stored[name].dims, value, np.float32))
        elif node.op_type in ("Conv", "Gemm"):
            shape = tuple(stored[node.input[1]].dims)
            fan_in = int(np.prod(shape[1:]))
            kernel = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
            _put(stored[node.input[1]], kernel.astype(np.float32))
            for name in node.input[2:]:
                _put(stored[name], np.zeros(stored[name].dims, np.float32))
    return model


def _put(tensor: Any, value: Any) -> None:
    tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))


def compare(name: str, trainings: Trainings, target: str, seeds: int) -> dict[str, Any]:
    """All trainings of one network."""
    out = trainings.out
    start = out / f"{name}.onnx"
    if not start.exists():
        write_network(name, start)
    base = trainings.run(f"{name}-base", start, BASE_EPOCHS, RATES["base"], 0)
    trained = out / f"{name}-base" / f"{name}-trained.onnx"
    picks = out / f"{name}-picks.json"
    block = load_profile(target).runtime.lanes
    variants = variants_of_file(trained, how=Open(block))
    space_file = out / f"{name}-space" / f"{name}-trained.toml"
    if not picks.exists():
        shrink(trained, target, max_latency_share=0.5, out=space_file.parent)
        design, facts = equal_pick(variants, str(space_file), target)
        text = json.dumps({"ours": dict(design), "facts": facts}, indent=1)
        picks.write_text(text + "\n", encoding="utf-8")
    chosen = json.loads(picks.read_text(encoding="utf-8"))
    arms = {"ours": chosen["ours"], "multiplier": uniform(variants, 0.5)}
    result: dict[str, Any] = {"base": base, "facts": chosen["facts"], "designs": arms}
    for seed in range(seeds):
        for arm, values in arms.items():
            file = out / f"{name}-{arm}.onnx"
            onnx.save(variants.model(values), file)
            key = f"{name}-{arm}-{seed}"
            found = trainings.run(key, file, EPOCHS, RATES["variant"], seed)
            result.setdefault(arm, []).append(found)
        random = out / f"{name}-random-{seed}.onnx"
        onnx.save(drawn_anew(variants.model(arms["ours"]), seed), random)
        for arm, file in (("inherited", out / f"{name}-ours.onnx"), ("random", random)):
            key = f"{name}-{arm}-1-epoch-{seed}"
            found = trainings.run(key, file, 1, RATES["variant"], seed)
            result.setdefault(f"{arm}_1_epoch", []).append(found)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="CIFAR-10, as flash.calibrate reads it")
    parser.add_argument("--out", required=True, help="folder for what is done")
    parser.add_argument("--target", default="x86-epyc", help="profile of this machine")
    parser.add_argument("--seeds", type=int, default=3, help="of each training of a variant")
    parser.add_argument("--only", default="", metavar="TEXT", help="networks with TEXT in the name")
    parser.add_argument("--base-only", action="store_true", help="only train the models")
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        if options.only not in name:
            continue
        data = out / f"cifar10-{IMAGES[name]}.npz"
        if not data.exists():
            write_data(Path(options.data), data, IMAGES[name])
        trainings = Trainings(out, data)
        if options.base_only:
            if not (out / f"{name}.onnx").exists():
                write_network(name, out / f"{name}.onnx")
            trainings.run(f"{name}-base", out / f"{name}.onnx", BASE_EPOCHS, RATES["base"], 0)
            continue
        found = compare(name, trainings, options.target, options.seeds)
        print(name, json.dumps(found), flush=True)
        for arm in ("ours", "multiplier", "inherited_1_epoch", "random_1_epoch"):
            mean, spread = np.mean(found[arm]), np.std(found[arm], ddof=1)
            print(f"  {arm:18s} {mean:.2f} +- {spread:.2f} %", flush=True)


if __name__ == "__main__":
    main()
