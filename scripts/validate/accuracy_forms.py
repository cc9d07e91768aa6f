"""Which form of accuracy model holds on sizes it has not seen, and what a few anchors are worth.

    python scripts/validate/accuracy_forms.py [--repeats 5] [--part forms|anchors|widths|depth]

forms:   25 networks of three quarters of a benchmark's sizes (MACs) are fitted, the quarter left
         out is predicted, each quarter in turn.
anchors: on NAS-Bench-201, accuracy after 200 epochs from that after 12, by n networks known after
         both; and plain CNNs, 100 epochs from 25.
widths:  MobileNets by width on ImageNet, each left out; other people's trainings of the same.
depth:   what accuracy models that come with flash say of depth and width, beside plain CNNs
         trained for 50 epochs.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from accuracy import BLOCKS, FEATURES, Benchmark, nasbench201, nasbench_macro, transnas
from numpy.typing import NDArray
from ranking import Report
from ranking_spaces import column, read
from scipy.stats import spearmanr

from flash.accuracy import accuracy_of
from flash.accuracy.features import mean_cell_params
from flash.accuracy.fit import Rival, choose
from flash.accuracy.kriging import Kriging, Ridge
from flash.accuracy.level import Anchor, fit_anchors
from flash.accuracy.monotone import FlashForm, RisingLine
from flash.accuracy.power import PowerLaw
from flash.accuracy.regression import Regression, Samples
from flash.accuracy.trend import depth_and_width_trend
from flash.spaces.space import load_space

Floats = NDArray[np.float64]

FITTED, PREDICTED, QUARTERS = 25, 1000, 4


# ---------------------------------------------------------------------------------------- forms
def models(samples: Samples) -> dict[str, Regression]:
    """Every form by its name in the table."""
    score = FEATURES[0]
    return {
        "FLASH's form": FlashForm(samples, score),
        "rising line": RisingLine(samples, score),
        "power of MACs": PowerLaw(samples, ("log_macs",)),
        "power of params": PowerLaw(samples, ("log_params",)),
        "power of both": PowerLaw(samples, ("log_macs", "log_params")),
        "ridge": Ridge(samples, FEATURES),
        "kriging": Kriging(samples, BLOCKS, (score,)),
    }


def sizes_left_out(report: Report, of: Benchmark, repeats: int) -> None:
    """RMSE and Spearman on quarters of the sizes that were left out, and on points left out."""
    known = np.flatnonzero(np.isfinite(of.truth))
    macs = of.features[known, FEATURES.index("log_macs")]
    edges = np.quantile(macs, np.linspace(0, 1, QUARTERS + 1))
    quarter = np.clip(np.searchsorted(edges, macs, side="right") - 1, 0, QUARTERS - 1)
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(repeats):
        for out in range(QUARTERS):
            rng = np.random.default_rng([seed, out])
            fit = rng.permutation(known[quarter != out])[:FITTED]
            rest = rng.permutation(known[quarter == out])[:PREDICTED]
            y, truth = of.truth[fit], of.truth[rest]
            span = float(np.ptp(y))
            bounds = of.bounds or (float(y.min()) - span, float(y.max()) + span)
            samples = Samples(FEATURES, of.features[fit], y, bounds)
            fitted = models(samples)
            rivals = [
                Rival.of(fitted[name], samples)
                for name in ("FLASH's form", "rising line", "ridge", "kriging")
            ]
            fitted["chosen (as shipped)"] = choose(rivals, FEATURES[0]).model
            for name, model in fitted.items():
                at = [FEATURES.index(feature) for feature in model.features]
                value = model.predict(of.features[rest][:, at])
                error = float(np.sqrt(np.mean((value - truth) ** 2)))
                rank = float(spearmanr(value, truth)[0]) if np.ptp(value) > 0 else 0.0
                found.setdefault(name, []).append((error, rank))
    report(f"\n{of.title}: {FITTED} of three quarters of the sizes, the other predicted")
    for name, rows in found.items():
        error, rank = np.mean(rows, axis=0)
        report(f"  {name:22s} RMSE {error:7.3f}   Spearman {rank:.3f}")


def plain_rows(shared: Path, epochs: int) -> dict[tuple[int, int], tuple[float, float, float]]:
    """(width, layers a stage) -> mean best accuracy, params, MACs; all images, so many epochs."""
    rows = [
        row
        for row in read(shared, "cifar_trained/plain_cnn_scaling")
        if row["images"] == "50000" and int(row["epochs"]) == epochs
    ]
    found = {}
    for key in sorted({(int(row["width"]), int(row["layers_per_stage"])) for row in rows}):
        same = [r for r in rows if (int(r["width"]), int(r["layers_per_stage"])) == key]
        best = float(np.mean([float(row["test_top1_best"]) for row in same]))
        found[key] = (best, float(same[0]["params"]), float(same[0]["macs"]))
    return found


def plain_forms(report: Report, shared: Path) -> None:
    """Forms on plain CNNs by width and depth: each left out, and each end of the sizes."""
    table = plain_rows(shared, 50)
    width, depth = (np.log([key[k] for key in table]) for k in (0, 1))
    accuracy, params, macs = (np.array([row[k] for row in table.values()]) for k in range(3))
    names = ("log_nn_degree", "log_macs", "log_params", "log_width", "log_depth")
    # Without skips NN-Degree is the sum of the widths, 7 times the first.
    rows = np.column_stack([width + np.log(7), np.log(macs), np.log(params), width, depth])
    forms: dict[str, Callable[[Samples], Regression]] = {
        "FLASH's form": lambda s: FlashForm(s, names[0]),
        "power of MACs": lambda s: PowerLaw(s, (names[1],)),
        "power of params": lambda s: PowerLaw(s, (names[2],)),
        "power of width, depth": lambda s: PowerLaw(s, names[3:]),
        "ridge on width, depth": lambda s: Ridge(s, names[3:]),
        "kriging": lambda s: Kriging(s, (names[:3], names[3:]), names[:1]),
    }
    order = np.argsort(macs)
    report(f"\nplain CNNs, 50 epochs, {len(table)} networks of {macs.min() / 1e6:.1f} to "
           f"{macs.max() / 1e6:.0f} M MACs")  # fmt: skip
    for name, form in forms.items():
        whole = form(Samples(names, rows, accuracy))
        loo = float(np.sqrt(np.mean((whole.left_out() - accuracy) ** 2)))
        ends = []
        for out in (order[:2], order[-2:]):
            kept = np.setdiff1d(order, out)
            model = form(Samples(names, rows[kept], accuracy[kept]))
            at = [names.index(feature) for feature in model.features]
            ends.append(
                float(np.sqrt(np.mean((model.predict(rows[out][:, at]) - accuracy[out]) ** 2)))
            )
        report(
            f"  {name:22s} each left out {loo:6.2f}   two smallest {ends[0]:6.2f}   "
            f"two largest {ends[1]:6.2f}"
        )


# -------------------------------------------------------------------------------------- anchors
def anchors(report: Report, shared: Path, draws: int = 200) -> None:
    """Accuracy after a long training from that after a short one, by n anchors."""
    rows = read(shared, "nasbench201/accuracy")
    short, long = column(rows, "cifar10_test_12epochs"), column(rows, "cifar10_test")
    kept = (long > 60) & (short > 14.5)
    cells = load_space("nasbench201")
    designs = np.array(
        [cells.parse(row["arch"]) for row, used in zip(rows, kept, strict=True) if used]
    )
    short, long, size = short[kept], long[kept], mean_cell_params(cells, designs)
    plain = float(spearmanr(short, long)[0])
    report(
        f"\nNAS-Bench-201, CIFAR-10, 200 epochs from 12: {kept.sum():,} cells that learned "
        f"(over 60 %), {draws} draws; rank correlation of the two {plain:.3f}"
    )
    rng = np.random.default_rng(0)
    for count in (3, 4, 5, 8, 12, 25):
        found = []
        for _ in range(draws):
            order = rng.permutation(len(long))
            few, rest = order[:count], order[count : count + 2000]
            law = fit_anchors([Anchor("cells", str(k), short[k], long[k], size[k]) for k in few])
            value = law.long("cells", short[rest], size[rest])
            spread = law.spread("cells", short[rest], size[rest])
            off = np.log((100 - value) / (100 - long[rest]))
            error = value - long[rest]
            found.append(
                (
                    np.sqrt(np.mean(error**2)), np.median(np.abs(error)),
                    spearmanr(value, long[rest])[0], np.mean(np.abs(off) <= spread),
                )
            )  # fmt: skip
        mean = np.mean(found, axis=0)
        report(
            f"  {count:2d} anchors: RMSE {mean[0]:.2f}, median error {mean[1]:.2f} points, "
            f"Spearman {mean[2]:.3f}, 90 % interval covers {100 * mean[3]:.0f} %"
        )
    # Cells of networks whose layers are all widened alike grow as their params together do.
    before, after = plain_rows(shared, 25), plain_rows(shared, 100)
    names = sorted(set(before) & set(after))
    errors = []
    for name in names:
        law = fit_anchors(
            [Anchor("cnn", str(n), before[n][0], after[n][0], before[n][1])
             for n in names if n != name]
        )  # fmt: skip
        value = law.long("cnn", np.array([before[name][0]]), np.array([before[name][1]]))
        errors.append(float(value[0]) - after[name][0])
    report(
        f"plain CNNs, 100 epochs from 25, widths {', '.join(str(n[0]) for n in names)}, each left "
        f"out: errors {', '.join(f'{e:+.2f}' for e in errors)} points"
    )


# --------------------------------------------------------------------------------------- widths
def widths(report: Report, shared: Path) -> None:
    """MobileNets by width on ImageNet."""
    table = shared / "data" / "imagenet_width" / "tfslim_mobilenet_width_resolution.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        every = list(csv.DictReader(stream))
    rows = [row for row in every if (row["precision"], row["resolution"]) == ("fp32", "224")]
    report("\nImageNet, TF-slim, 224x224, power law of the MACs, each width left out (points):")
    for family in ("mobilenet_v1", "mobilenet_v2"):
        for least in (0.0, 0.5):
            own = [r for r in rows if r["family"] == family and float(r["width_mult"]) >= least]
            own = sorted(own, key=lambda row: float(row["width_mult"]))
            if len(own) < 3:
                continue
            log_macs = np.log(np.array([float(row["macs_M"]) * 1e6 for row in own]))[:, None]
            truth = np.array([float(row["top1"]) for row in own])
            law = PowerLaw(Samples(("log_macs",), log_macs, truth), ("log_macs",))
            errors = law.left_out() - truth
            said = ", ".join(
                f"x{row['width_mult']} {error:+.2f}" for row, error in zip(own, errors, strict=True)
            )
            report(f"  {family}: error ~ MACs^-{law.exponents[0]:.3f}; {said}")
    space = load_space("imagenet-mobilenet-v2")
    model = accuracy_of(space)
    if model is not None:
        rest = "expand=1,6,6,6,6,6,6 kernel=3,3,3,3,3,3,3 depth=1,2,3,4,3,3,1 skip=1,1,1,1,1,1,1"
        sizes = (50, 75, 100)
        designs = np.array([space.parse(f"width={','.join([str(w)] * 7)} {rest}") for w in sizes])
        predicted = model.predict(space, designs)
        others = {"imgclsmob": (64.4, 70.2, 73.2), "timm": (65.93, None, 72.91)}
        for name, published in others.items():
            rows_said = zip(published, predicted.value, predicted.low, predicted.high, strict=True)
            report(
                f"  shipped model against {name}'s trainings: "
                + ", ".join(f"{v:.1f} ({a:.1f}-{b:.1f}) {p}" for p, v, a, b in rows_said if p)
            )
    networks = read(shared, "imagenet_width/ofa_mbv3_w10_subnets")
    log_macs = np.log(column(networks, "macs"))[:, None]
    truth = column(networks, "top1")
    design = np.column_stack([np.ones(len(truth)), log_macs])
    log_error = np.log(100 - truth)
    coefficients = np.linalg.lstsq(design, log_error, rcond=None)[0]
    left = log_error - design @ coefficients
    report(
        f"  {len(truth):,} OFA sub-networks: error ~ MACs^{coefficients[1]:.3f}, deviation of "
        f"log(error) about it {left.std():.4f}"
    )


# ---------------------------------------------------------------------------------------- depth
def depth(report: Report, shared: Path) -> None:
    """Signs of depth and width in shipped models and in plain CNNs."""
    table = plain_rows(shared, 50)
    by_depth = [table[(32, layers)][0] for layers in (1, 2, 3, 4, 5)]
    by_width = [table[(width, 2)][0] for width in (8, 16, 32, 64, 128)]
    report(
        "\nplain CNNs, 50 epochs: 1 to 5 layers a stage at width 32 "
        f"{', '.join(f'{a:.1f}' for a in by_depth)}; widths 8 to 128 at 2 layers "
        f"{', '.join(f'{a:.1f}' for a in by_width)} %"
    )
    for name in ("cifar10-concat", "cifar10-add", "cifar10-mobilenet-v2", "imagenet-mobilenet-v2"):
        space = load_space(name)
        model = accuracy_of(space)
        if model is None:
            report(f"  {name}: not calibrated")
            continue
        trend = depth_and_width_trend(space, model)
        report(f"  {name}: {trend}")


def parts(shared: Path, repeats: int) -> dict[str, Callable[[Report], None]]:
    """The parts of the report by name."""

    def forms(report: Report) -> None:
        plain_forms(report, shared)
        for family in (nasbench_macro, transnas, nasbench201):
            for of in family(shared):
                sizes_left_out(report, of, repeats)

    return {
        "forms": forms,
        "anchors": lambda report: anchors(report, shared),
        "widths": lambda report: widths(report, shared),
        "depth": lambda report: depth(report, shared),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    root = Path(__file__).resolve().parents[2]
    shared = Path(os.environ.get("FLASH_SHARED", root.parent / "shared"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, default=shared)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--part", action="append", help="only this part")
    parser.add_argument("--out", type=Path, help="also write the report to this file")
    options = parser.parse_args(arguments)
    report = Report()
    every = parts(options.shared, options.repeats)
    for name in options.part or every:
        every[name](report)
    if options.out:
        options.out.write_text("\n".join(report.lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
