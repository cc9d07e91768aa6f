"""Shared weights on NAS-Bench-201: how they rank cells, and what each sampler chooses.

    python scripts/validate/supernet.py [--shared ../shared] [--samplers uniform,advantage,...]
        [--warm 22] [--epochs 18] [--seeds 4] [--cells 120] [--work FOLDER] [--channels 8]
        [--side 16] [--more]

A supernet of one cell a group (C 8, 16 x 16 pixels of CIFAR-10, batch 128) is trained with uniform
paths for --warm epochs; from there each sampler, uniform too, goes on for --epochs, in which every
second step of the others is on validation images; 20 % are set aside. A sampler of binary
convolutions has all those epochs to itself, as weights are binary from the start. Columns:
Spearman and Kendall of live cells, the same for all samplers, between shared-weights validation
(accuracy; minus loss; minus loss on their upper half by true accuracy) and the published 200-epoch
CIFAR-10 test accuracy; the published accuracy of the cell that the sampler names, and of the best
of those cells by shared weights, means and (by seed). --more: SiGeo and its terms at several stages
of the warm-up; the noise of AdvantageNAS' and REINFORCE's gradient at equal probabilities;
training-free choice among BaLeNAS' draws. About 9 s of a core an epoch. Trainings are kept in
--work and gone on with: --seeds 1, then 2, 3 and 4 have every sampler's first seed first.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nasbench import Benchmark, read
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from flash.evaluation import evaluate
from flash.proxies.images import Images
from flash.proxies.sigeo import sigeo_terms
from flash.search.budgeted.aggregate import LogRank
from flash.spaces.family import FAMILIES, InputShape
from flash.spaces.space import SearchSpace, load_space
from flash.supernet import RECIPE, SAMPLERS, WeightBank, score_shared, task_of, train_supernet
from flash.supernet.network import path_of
from flash.supernet.sampler import Epoch
from flash.supernet.warm import WarmProbe
from flash.targets import load_target
from flash.training.batches import Batches
from flash.training.datasets import read_images
from flash.training.images import ImageSet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
#: The benchmark's own networks and the board that DA-NAS weighs their latency on.
WHOLE, BOARD = load_space("nasbench201"), load_target("rpi4b")
#: A public one-shot supernet, 600 epochs on a GPU, on live cells (few-shot-NAS, ICML 2021).
PUBLIC = ".656 / .465 (600 epochs on a GPU, C 16, N 5: few-shot-NAS, ICML 2021)"
HEAD = """\
| sampler | epochs | seeds | M images | CPU s | rho / tau by accuracy | by -loss | upper half \
| its choice | best of the cells |
|---|---|---|---|---|---|---|---|---|---|"""


def small_cells(channels: int, side: int) -> SearchSpace:
    """NAS-Bench-201's cells in a network of one cell a group."""
    whole = load_space("nasbench201")
    family = FAMILIES["nasbench201"](
        InputShape(3, side, side), 10, {"cells": 1, "channels": channels}
    )
    return SearchSpace("nasbench201-small", "", family, whole.grids)


class Truth:
    """Published test accuracies by design."""

    def __init__(self, shared: Path, space: SearchSpace) -> None:
        rows = read(shared, "nasbench201/accuracy")
        designs = np.array([space.parse(row["arch"]) for row in rows])
        names = ("cifar10_test", "cifar100_test", "imagenet16_test")
        self._of = {
            tuple(design): [float(row[name]) for name in names]
            for design, row in zip(designs.tolist(), rows, strict=True)
        }

    def __call__(self, design: Ints) -> list[float]:
        """On CIFAR-10, CIFAR-100 and ImageNet16-120, per cent."""
        return self._of[tuple(design.tolist())]


def latency_ms(designs: Ints) -> Floats:
    """Of the whole networks (5 cells a group, 16 channels) on a Raspberry Pi 4B."""
    found: Floats = evaluate(WHOLE, BOARD, designs).latency_ms[0]
    return found


def live_cells(space: SearchSpace, count: int) -> Ints:
    """Cells drawn at random with a path from input to output; the same for every sampler."""
    rng = np.random.default_rng(201)
    found: list[Ints] = []
    while len(found) < count:
        design = space.sample(1, rng)[0]
        if path_of(space, design).network.layers:
            found.append(design)
    return np.array(found)


def _key(options: argparse.Namespace, name: str, warm: int, epochs: int, seed: int) -> str:
    return f"{name}-{warm}+{epochs}-C{options.channels}-{options.side}px-{seed}"


def trained(
    name: str,
    warm: int,
    epochs: int,
    seed: int,
    space: SearchSpace,
    images: ImageSet,
    latency: Callable[[Ints], Floats],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """One row of the table, from the file of an earlier run where there is one."""
    key = _key(options, name, warm, epochs, seed)
    kept = options.work / f"{key}.json"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    kind = SAMPLERS[name]
    recipe = RECIPE.varied(epochs=epochs)
    task = task_of(space, images, recipe, latency, warmed=warm > 0)
    bank = WeightBank(space, seed, binary=kind.binary)
    if warm:
        begun = options.work / f"{_key(options, 'uniform', 0, warm, seed)}.pt"
        bank.load(torch.load(begun, weights_only=True)["weights"])

    def tell(epoch: Epoch) -> None:
        print(f"{key}: epoch {epoch.number}, {epoch.accuracy:.1f} %, {epoch.seconds:.1f} s, "
              f"{epoch.left_s:.0f} s left", file=sys.stderr, flush=True)  # fmt: skip
        if name == "uniform" and not warm and epoch.number in _stages(options.warm):
            shutil.copy(options.work / f"{key}.pt", options.work / f"{key}-at{epoch.number}.pt")

    training = train_supernet(
        bank, kind(task), images, recipe, seed,
        checkpoint=options.work / f"{key}.pt", progress=tell,
    )  # fmt: skip
    truth, rng = Truth(options.shared, space), np.random.default_rng(seed)
    cells = live_cells(space, options.cells)
    scores = [score_shared(bank, cell, training.batches) for cell in cells]
    row = {
        "sampler": name, "seed": seed, "warm": warm, "epochs": epochs, "seconds": training.seconds,
        "images": training.images, "checked": training.checked,
        "accuracy": [score.accuracy for score in scores], "loss": [score.loss for score in scores],
        "truth": [truth(cell)[0] for cell in cells],
        "named": space.describe(training.sampler.result()),
        "named_test": truth(training.sampler.result()),
        "favourite_test": truth(cells[int(np.argmax([score.accuracy for score in scores]))]),
        "curve": training.curve,
        "draws": [training.sampler.draw(rng).tolist() for _ in range(100)],
    }  # fmt: skip
    kept.write_text(json.dumps(row))
    return row


def line(rows: list[dict[str, Any]]) -> str:
    """A row of the table, means over seeds."""
    figures = np.array([_ranking(row) for row in rows]).mean(axis=0)
    named, favourite = (
        f"{np.mean([row[key][0] for row in rows]):.2f} "
        f"({', '.join(f'{row[key][0]:.1f}' for row in rows)})"
        for key in ("named_test", "favourite_test")
    )
    images = np.mean([row["images"] + row["checked"] for row in rows])
    cells = (
        rows[0]["sampler"], f"{rows[0]['warm']} + {rows[0]['epochs']}", f"{len(rows)}",
        f"{images / 1e6:.2f}",
        f"{np.mean([row['seconds'] for row in rows]):.0f}",
        f"{figures[0]:.2f} / {figures[1]:.2f}", f"{figures[2]:.2f} / {figures[3]:.2f}",
        f"{figures[4]:.2f}", named, favourite,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _ranking(row: dict[str, Any]) -> list[float]:
    truth, accuracy, loss = (np.array(row[key]) for key in ("truth", "accuracy", "loss"))
    upper = truth >= np.median(truth)
    return [
        float(spearmanr(accuracy, truth)[0]), float(kendalltau(accuracy, truth)[0]),
        float(spearmanr(-loss, truth)[0]), float(kendalltau(-loss, truth)[0]),
        float(spearmanr(-loss[upper], truth[upper])[0]),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------- more
def _stages(warm: int) -> list[int]:
    """Epochs of the warm-up, short of all, at which SiGeo is looked at: 10 and 40 % of it."""
    return sorted({max(round(share * warm), 1) for share in (0.1, 0.4)})


def _warmed(options: argparse.Namespace, space: SearchSpace, epochs: int) -> WeightBank:
    bank = WeightBank(space, 0)
    if epochs:
        name = _key(options, "uniform", 0, options.warm, 0)
        name += "" if epochs == options.warm else f"-at{epochs}"
        kept = torch.load(options.work / f"{name}.pt", weights_only=True)
        bank.load(kept["weights"])
    return bank


def sigeo_stages(options: argparse.Namespace, space: SearchSpace, images: ImageSet) -> None:
    """Spearman of SiGeo and each of its terms with test accuracy, by epochs of warm-up."""
    truth, cells = Truth(options.shared, space), live_cells(space, options.cells)
    want = [truth(cell)[0] for cell in cells]
    data = Images(images.train_images, images.train_labels, images.digest)
    print(
        "\n| epochs of warm-up | SiGeo | ZiCo's sum | log of g w | -loss |\n|---|---|---|---|---|"
    )
    stages = {}
    for epochs in (0, *_stages(options.warm), options.warm):
        bank = _warmed(options, space, epochs)
        terms = np.array(
            [sigeo_terms(WarmProbe(bank, cell, seed=0, batch=64, data=data)) for cell in cells]
        )
        found = [spearmanr(x, want)[0] for x in (terms.sum(axis=1), *terms.T)]
        print(f"| {epochs} | {' | '.join(f'{rho:.2f}' for rho in found)} |", flush=True)
        stages[epochs] = [float(rho) for rho in found]
    (options.work / "sigeo.json").write_text(json.dumps(stages))


def gradient_noise(
    options: argparse.Namespace, space: SearchSpace, images: ImageSet, draws: int = 300
) -> dict[str, float]:
    """Variance of the gradient by theta over its squared mean, at equal probabilities.

    Both estimators see the same draws on the same validation batches; REINFORCE's baseline is the
    mean loss of all.
    """
    bank, rng = _warmed(options, space, options.warm), np.random.default_rng(1)
    batches = Batches(images, RECIPE, torch.device("cpu"))
    part = batches.validation(1.0)
    credit: list[Floats] = []
    losses: list[float] = []
    chosen: list[Floats] = []
    while len(losses) < draws:
        design = space.sample(1, rng)[0]
        module = bank.module(design)
        if module is None:
            continue
        at = torch.from_numpy(rng.integers(len(part.labels), size=128))
        loss = torch.nn.functional.cross_entropy(
            module(batches.normal(part.pixels[at])), part.labels[at]
        )
        (by_gate,) = torch.autograd.grad(loss, [bank.gates])
        drawn = np.eye(5)[design]
        credit.append((drawn * by_gate.double().numpy()).sum(axis=1, keepdims=True))
        losses.append(float(loss.detach()))
        chosen.append(drawn - 0.2)
    away = np.array(chosen)
    found = {
        "advantage": np.array(credit) * away,
        "reinforce": (np.array(losses) - np.mean(losses))[:, None, None] * away,
    }
    return {
        # Unbiased: the squared mean of draws has the variance of a mean in it.
        name: float(
            g.var(0, ddof=1).sum()
            / max((g.mean(0) ** 2).sum() - g.var(0, ddof=1).sum() / draws, 1e-12)
        )
        for name, g in found.items()
    }


def training_free(options: argparse.Namespace, space: SearchSpace, seeds: int = 20) -> None:
    """BaLeNAS-TF: the best of 100 draws by training-free scores, against 100 uniform draws."""
    kept = options.work / f"{_key(options, 'balenas', options.warm, options.epochs, 0)}.json"
    bench = Benchmark(options.shared, None)
    names = ("rank_score", "sed", "jacov")
    scores = np.stack([bench.scores[name] for name in names], axis=1)
    test = bench.accuracy["cifar10_test"]

    def best(rows: Ints) -> float:
        return float(test[rows[int(np.argmax(LogRank(scores[rows])(scores[rows])))]])

    uniform = [best(np.random.default_rng(s).integers(len(test), size=100)) for s in range(seeds)]
    print(f"\n100 uniform draws, best by rank_score + sed + jacob_cov: {np.mean(uniform):.2f} "
          f"± {np.std(uniform):.2f} % ({seeds} seeds)")  # fmt: skip
    if kept.exists():
        draws = json.loads(kept.read_text())["draws"]
        print(
            f"100 draws of BaLeNAS, the same: {best(np.array([bench.row(d) for d in draws])):.2f} %"
        )


#: Sampler -> system and what its paper says of it on NAS-Bench-201, test accuracy in per cent.
SYSTEMS = {
    "advantage": ("AdvantageNAS", "91.4 to 93.9 (plot, with its rivals)"),
    "ddpnas": ("DDPNAS", "none found on NAS-Bench-201"),
    "bnas": ("BNAS, binarized", "none found on NAS-Bench-201"),
    "balenas": ("BaLeNAS", "94.33 (BaLeNAS-TF)"),
    "da-nas": ("DA-NAS", "none found on NAS-Bench-201"),
    "sigeo": ("SiGeo", "rises with warm-up, not below -loss"),
}
#: Seeds over which a sampler has to beat uniform paths.
ASKED = 4


def system_rows(work: Path) -> list[tuple[str, str, str, str, float, bool, str]]:
    """Rows for scripts/validate/systems.py from the trainings that are kept in ``work``.

    (system, published, ours, runs, seconds, accepted, why). A sampler is accepted where over
    ``ASKED`` seeds the cells it names are no worse than those that uniform paths name at equal
    cost; SiGeo where its correlation at the end of the warm-up is its highest, and no lower than
    that of minus the loss, one of its terms.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(work.glob("*+*.json")):
        row = json.loads(path.read_text())
        if row["warm"] or row["sampler"] != "uniform":
            found.setdefault(row["sampler"], []).append(row)
    controls = {row["seed"]: row["named_test"][0] for row in found.get("uniform", [])}
    rows = []
    for name, (system, published) in SYSTEMS.items():
        if own := found.get(name):
            cells = np.array([row["named_test"][0] for row in own])
            control = np.mean([controls.get(row["seed"], np.nan) for row in own])
            few = f"{len(own)} of {ASKED} seeds asked" if len(own) < ASKED else ""
            rows.append((
                system, published, f"{cells.mean():.2f} (uniform paths {control:.2f})",
                f"{len(own)} x {own[0]['warm']} + {own[0]['epochs']} epochs",
                float(np.mean([row["seconds"] for row in own])),
                not few and bool(cells.mean() >= control), few or "below uniform paths",
            ))  # fmt: skip
    if (kept := work / "sigeo.json").exists():
        stages = list(json.loads(kept.read_text()).values())
        ours = (
            f"rho {stages[0][0]:.2f} fresh, {stages[-1][0]:.2f} warmed, -loss {stages[-1][3]:.2f}"
        )
        rises = stages[-1][0] == max(stage[0] for stage in stages) >= stages[-1][3]
        rows.append((
            *SYSTEMS["sigeo"], ours, "1 seed", 0.0, bool(rises),
            "does not rise with warm-up, or below -loss",
        ))  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--samplers", default=",".join(SAMPLERS.builtin))
    parser.add_argument("--warm", type=int, default=22)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--seeds", type=int, default=ASKED)
    parser.add_argument("--cells", type=int, default=120)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--more", action="store_true", help="SiGeo, noise, BaLeNAS-TF")
    parser.add_argument("--work", type=Path, default=Path("flash-out/supernet"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # networks this small lose by more
    space = small_cells(options.channels, options.side)
    images = read_images(options.shared / "data/cifar10", space.family.shape, 10)
    print(HEAD)
    runs = [("uniform", 0, options.warm)]
    for name in options.samplers.split(","):
        alone = SAMPLERS[name].binary
        runs.append((name, 0 if alone else options.warm,
                     options.epochs + (options.warm if alone else 0)))  # fmt: skip
    for run in runs:
        rows = [
            trained(*run, seed, space, images, latency_ms, options) for seed in range(options.seeds)
        ]
        print(line(rows), flush=True)
    print(f"\npublic supernet, rho / tau: {PUBLIC}")
    if options.more:
        noise = gradient_noise(options, space, images)
        print("\nvariance of the gradient by theta / its squared mean: "
              + ", ".join(f"{name} {value:.1f}" for name, value in noise.items()))  # fmt: skip
        sigeo_stages(options, space, images)
        training_free(options, space)


if __name__ == "__main__":
    main()
