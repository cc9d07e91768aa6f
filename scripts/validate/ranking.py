"""How well scores that need no training and no data rank trained networks: tables.

    python scripts/validate/ranking.py [--shared ../shared] [--cache DIR] [--brief] [--out FILE]

Needs the folder of third-party measurements. Ten spaces (``ranking_spaces.py``): benchmarks,
MobileNets by width and resolution, plain networks, model zoos of one author each; beside them
detectors and text encoders (``ranking_beyond.py``). Takes three minutes
on one core; with ``--cache`` the networks' features are kept and other rules are scored in seconds.

``params`` and ``macs`` count the live part of each network. On NAS-Bench-201 proxies that run
the network, as measured by others on CIFAR-10, stand beside ours.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nasbench import live_operations
from numpy.typing import NDArray
from ranking_beyond import BEYOND
from ranking_networks import resnet
from ranking_rules import RULE, Features, Rule, features, kept, left_out, rules, wide_rules
from ranking_spaces import SPACES, WHOLE, Space, column, read
from scipy.stats import kendalltau, rankdata, spearmanr

from flash.metrics.degree import network_nn_degree
from flash.metrics.rank import score_designs
from flash.metrics.sed import score_network
from flash.spaces.space import SearchSpace, load_space

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Columns = dict[str, Floats]

DATASETS = ("cifar10_test", "cifar100_test", "imagenet16_test")
MEASURED = ("nwot", "synflow", "zen", "jacov", "epe_nas", "grad_norm")
BANDS = 5
#: Printed beside, no part of any choice or margin.
BESIDE = ("chen", "regnet", *BEYOND)

CHOICES = """\
Spaces were listed before scores were printed on them (ranking_spaces.py). The form of the rule was
found by printing some 7,000 rules on them, so the figures of the first table are in-sample; the
last tables leave a space out of the choice. NAS-Bench-201 takes part with 1,200 distinct live cells
of a seeded half; of the other half 2 of 5 cells have an isomorphic twin in it."""


class Report:
    """Lines that are printed as they come, and kept."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str = "") -> None:
        """Print one line and keep it."""
        print(line, flush=True)
        self.lines.append(line)


# -------------------------------------------------------------------------- rank correlations


def correlation(of: Callable[..., tuple[float, float]], score: Floats, truth: Floats) -> float:
    """Rank correlation over the entries both have; nan for a score that never changes."""
    both = np.isfinite(score) & np.isfinite(truth)
    if both.sum() < 2 or np.ptp(score[both]) == 0:
        return math.nan
    return float(of(score[both], truth[both])[0])


def top_decile(truth: Floats) -> Flags:
    return np.asarray(truth >= np.quantile(truth, 0.9))


def cell(value: float) -> str:
    return "     -" if math.isnan(value) else f"{value:6.3f}"


def line_of(name: str, score: Floats, truths: Sequence[Floats]) -> str:
    """Spearman and Kendall for each truth, Spearman in its top decile, mean of ten picks."""
    parts = []
    for of in (spearmanr, kendalltau):
        parts.append(" ".join(cell(correlation(of, score, truth)) for truth in truths))
    top = [top_decile(t) for t in truths]
    parts.append(
        " ".join(
            cell(correlation(spearmanr, score[m], t[m])) for m, t in zip(top, truths, strict=True)
        )
    )
    known = np.where(np.isfinite(score), score, -np.inf)
    best = np.argsort(-known, kind="stable")[:10]
    parts.append(" ".join(f"{t[best].mean():6.2f}" for t in truths))
    return f"  {name:15s}" + " | ".join(parts)


def section(
    report: Report, title: str, names: Sequence[str], scores: Mapping[str, Floats],
    truths: Sequence[Floats],
) -> None:  # fmt: skip
    report()
    report(f"{title} ({len(truths[0])} networks): {', '.join(names)}")
    report(f"  {'':15s}Spearman | Kendall | Spearman in the top decile | mean of the top-10 picks")
    for name, score in scores.items():
        report(line_of(name, score, truths))


# ------------------------------------------------------------------------------ NAS-Bench-201


def sizes(space: SearchSpace, designs: NDArray[np.int64]) -> Columns:
    """Live parameters and MACs of designs."""
    found: dict[str, list[Floats]] = {"params": [], "macs": []}
    for start in range(0, len(designs), 1024):
        table = space.table(designs[start : start + 1024])
        found["params"].append((table.params * table.live).sum(axis=0).astype(np.float64))
        found["macs"].append((table.macs * table.live).sum(axis=0).astype(np.float64))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def nasbench201(report: Report, shared: Path) -> None:
    space = load_space("nasbench201")
    rows = read(shared, "nasbench201/accuracy")
    cells = space.encode(np.array([list(space.family.parse(r["arch"]).values()) for r in rows]))
    truths = [column(rows, name) for name in DATASETS]
    _, first, which = np.unique(
        live_operations(cells), axis=0, return_index=True, return_inverse=True
    )
    which = which.ravel()
    scored = score_designs(space, cells)
    scores: Columns = {
        "rank_score": scored.rank_score, "capacity": scored.capacity, "sed": scored.sed,
        "SED x (1 + I)": scored.sed * (1 + scored.isometry),
    }  # fmt: skip
    scores |= sizes(space, cells)
    degrees = [network_nn_degree(space.network(cells[i])) for i in first]
    scores["nn_degree"] = np.array(degrees)[which]
    proxies = {r["arch"]: r for r in read(shared, "nasbench201/proxies_cifar10")}
    for name in MEASURED:
        found = [proxies.get(r["arch"]) for r in rows]
        scores[f"{name} (runs)"] = np.array([float(r[name]) if r else math.nan for r in found])
    half = np.random.default_rng(0).permutation(len(rows)) < len(rows) // 2
    once = np.zeros(len(rows), dtype=np.bool_)
    once[first] = True
    for title, mask in (
        ("all cells", np.ones(len(rows), dtype=np.bool_)),
        ("choosing half", half),
        ("untouched half", ~half),
        ("distinct live cells", once),
        ("distinct, untouched, no twin in the choosing half", once & ~np.isin(which, which[half])),
    ):
        ours = {k: v[mask] for k, v in scores.items() if "runs" not in k or title == "all cells"}
        section(report, f"NAS-Bench-201, {title}", DATASETS, ours, [t[mask] for t in truths])
    report(
        "  (runs): measured by running the network, on 9,445 cells only. No cell has an NN-Mass."
    )
    live = np.asarray((live_operations(cells) > 0).any(axis=1))
    bands(report, shared, rows, scores, truths[0], live)


def bands(
    report: Report,
    shared: Path,
    rows: list[dict[str, str]],
    scores: Columns,
    truth: Floats,
    live: Flags,
) -> None:
    """Kendall with CIFAR-10 accuracy inside bands of measured latency, equal numbers in each."""
    measured = {r["arch"]: r for r in read(shared, "nasbench201/hw_nas_bench_cifar10")}
    for device in ("raspi4_latency_ms", "edgegpu_latency_ms"):
        latency = np.array([float(measured[r["arch"]][device]) for r in rows])
        known = np.flatnonzero(live & (latency > 0.01))
        order = known[np.argsort(latency[known], kind="stable")]
        parts = np.array_split(order, BANDS)
        limits = ", ".join(f"{latency[p[0]]:.2f}-{latency[p[-1]]:.2f}" for p in parts)
        report()
        report(f"NAS-Bench-201, Kendall with {DATASETS[0]} in bands of {device}: {limits}")
        for name, score in scores.items():
            if "runs" not in name:
                found = (correlation(kendalltau, score[p], truth[p]) for p in parts)
                report(f"  {name:15s}" + " ".join(map(cell, found)))


# --------------------------------------------------------------------------------- all spaces


@dataclass(frozen=True)
class Judged:
    """A space with the features of its networks and the better of params and MACs a task."""

    space: Space
    of: Features
    size: Floats

    @classmethod
    def made(cls, space: Space, file: Path | None) -> Judged:
        """Of these networks; their features are kept in the file."""
        networks = [build() for build in space.builds]
        of = features(networks) if file is None else kept(file, networks)
        sizes = [[correlation(spearmanr, of.totals[k], t) for t in space.truths.values()]
                 for k in ("params", "macs")]  # fmt: skip
        return cls(space, of, np.max(sizes, axis=0))

    def spearman(self, score: Floats) -> Floats:
        """With each task's accuracies."""
        return np.array([correlation(spearmanr, score, t) for t in self.space.truths.values()])

    def margin(self, score: Floats) -> float:
        """Spearman over that of the better of params and MACs, mean over tasks."""
        return float((self.spearman(score) - self.size).mean())

    def top(self, score: Floats) -> float:
        """Spearman within the best tenth, mean over tasks."""
        parts = []
        for truth in self.space.truths.values():
            best = truth >= np.nanquantile(truth, 0.9)
            parts.append(correlation(spearmanr, score[best], truth[best]))
        return float(np.mean(parts))


def baselines(of: Features) -> Columns:
    t = of.totals
    before = np.log(t["sed"]) + np.log1p(t["isometry"])
    return {
        "params": t["params"], "MACs": t["macs"], "NN-Degree": t["nn_degree"], "SED": t["sed"],
        "SED x (1 + I)": before, "capacity": RULE.capacity(of), "the rule": RULE.log_score(of),
    }  # fmt: skip


def all_spaces(report: Report, judged: Mapping[str, Judged]) -> None:
    chosen = [name for name in judged if name not in BESIDE]
    head = f"  {'':32s}" + " ".join(f"{name:>7s}" for name in judged) + "   worst   mean"

    def line(name: str, values: Sequence[float], margins: Sequence[float]) -> None:
        shown = " ".join(f"{v:7.3f}" for v in values)
        report(f"  {name:32s}{shown}  {min(margins):+.3f}  {np.mean(margins):+.3f}")

    report()
    report("Spearman with accuracy, mean over tasks; worst and mean margin over the better of")
    report(f"params and MACs of the same task (without {', '.join(BESIDE)})")
    report(head)
    scores = {name: baselines(j.of) for name, j in judged.items()}
    for label in scores[chosen[0]]:
        values = {n: j.spearman(scores[n][label]) for n, j in judged.items()}
        line(label, [float(values[n].mean()) for n in judged],
             [float((values[n] - judged[n].size).mean()) for n in chosen])  # fmt: skip
    report()
    report("What each part is worth: the rule with one part left out or changed")
    report(head)
    for rule in left_out():
        logs = {n: rule.log_score(j.of) for n, j in judged.items()}
        line(rule.name, [float(j.spearman(logs[n]).mean()) for n, j in judged.items()],
             [judged[n].margin(logs[n]) for n in chosen])  # fmt: skip
    report()
    report("Combinations of scores: sums of logarithms, of ranks, products, least rank")
    for name, combine in COMBINATIONS.items():
        values = {n: combine(j.of) for n, j in judged.items()}
        line(name, [float(j.spearman(values[n]).mean()) for n, j in judged.items()],
             [judged[n].margin(values[n]) for n in chosen])  # fmt: skip


def ranks(values: Floats) -> Floats:
    return np.asarray(rankdata(values) / len(values))


#: Parts of the rule, and today's scores, put together in other ways.
COMBINATIONS: dict[str, Callable[[Features], Floats]] = {
    "log capacity + 1/2 log SED": lambda f: np.log(RULE.capacity(f)) + np.log(f.totals["sed"]) / 2,
    "rank capacity + rank SED": lambda f: ranks(RULE.capacity(f)) + ranks(f.totals["sed"]),
    "rank capacity x rank SED": lambda f: ranks(RULE.capacity(f)) * ranks(f.totals["sed"]),
    "least of the two ranks": lambda f: np.minimum(ranks(RULE.capacity(f)), ranks(f.totals["sed"])),
    "rank SED + rank MACs": lambda f: ranks(f.totals["sed"]) + ranks(f.totals["macs"]),
    "least rank of SED, MACs": lambda f: np.minimum(
        ranks(f.totals["sed"]), ranks(f.totals["macs"])
    ),
    "SED x (1 + I) x params": lambda f: (
        np.log(f.totals["sed"] * f.totals["params"]) + np.log1p(f.totals["isometry"])
    ),
    "rank of rule + rank of MACs": lambda f: ranks(RULE.log_score(f)) + ranks(f.totals["macs"]),
}


def best_tenths(report: Report, judged: Mapping[str, Judged]) -> None:
    """Of all networks: a tenth of those drawn for the choice is 50 to 120, too few to tell."""
    scores = {name: baselines(j.of) for name, j in judged.items()}
    report()
    report("Spearman within the best tenth, spaces of 300 networks or more, all of their networks")
    sizes = (f"{name} {len(j.space.names):,}" for name, j in judged.items())
    report(f"  {'':32s}" + "  ".join(sizes))
    for label in ("params", "MACs", "SED", "SED x (1 + I)", "the rule"):
        found = (f"{n} {j.top(scores[n][label]):.3f}" for n, j in judged.items())
        report(f"  {label:32s}" + "  ".join(found))


def leave_one_out(
    report: Report, judged: Mapping[str, Judged], family: Sequence[Rule], title: str
) -> None:
    """Choose a rule on all spaces but one, by three criteria; judge it on that one."""
    names = [name for name in judged if name not in BESIDE]
    margins = np.array([[judged[n].margin(r.log_score(judged[n].of)) for n in names]
                        for r in family])  # fmt: skip
    worst = margins.min(axis=1)
    report()
    report(
        f"Leave one space out, {title}: {len(family)} rules, {np.mean(worst > -0.02):.0%} of them "
        f"above -.02 in every space, {np.mean(worst > 0):.0%} above 0"
    )
    report(f"  {'chosen by':16s}" + " ".join(f"{n:>7s}" for n in names) + "   worst   mean")
    criteria: dict[str, Callable[[Floats], Floats]] = {
        "mean": lambda m: m.mean(axis=1),
        "worst": lambda m: m.min(axis=1),
        "worst + mean": lambda m: m.min(axis=1) + m.mean(axis=1),
    }
    for label, of in criteria.items():
        found = []
        for k in range(len(names)):
            best = int(np.argmax(of(np.delete(margins, k, axis=1))))
            found.append(float(margins[best, k]))
        shown = " ".join(f"{v:7.3f}" for v in found)
        report(f"  {label:16s}{shown}  {min(found):+.3f}  {np.mean(found):+.3f}")


def orders(report: Report) -> None:
    """Plain and residual networks of 20 to 110 layers (He et al. 2016, CIFAR-10)."""
    report()
    report(
        "Plain and residual networks of 20, 32, 44, 56, 110 layers, log of the score; published:"
    )
    report("residual the deeper the better, plain the deeper the worse, residual above plain")
    for shortcuts in (True, False):
        networks = [
            resnet([(depth - 2) // 6] * 3, (16, 32, 64), stem=16, side=32, classes=10,
                   shortcuts=shortcuts) for depth in (20, 32, 44, 56, 110)
        ]  # fmt: skip
        shown = " ".join(f"{math.log(score_network(n).rank_score):7.3f}" for n in networks)
        report(f"  {'residual' if shortcuts else 'plain':10s}{shown}")


# -------------------------------------------------------------------------------------- speed


def speed(report: Report) -> None:
    """Microseconds a network for each score, graphs built beforehand."""
    space = load_space("nasbench201")
    rng = np.random.default_rng(1)
    networks = [space.network(design) for design in space.sample(200, rng)]
    many = space.sample(200_000, rng)
    score_designs(space, many)
    report()
    report("Time a network (NAS-Bench-201, this machine, one process):")
    for name, run, count in (
        ("sed + rank_score, a graph", lambda: [score_network(n) for n in networks], 200),
        ("nn_degree, a graph", lambda: [network_nn_degree(n) for n in networks], 200),
        ("sed + rank_score, cells from the table", lambda: score_designs(space, many), len(many)),
    ):
        began = time.perf_counter()
        run()
        report(f"  {name:40s} {(time.perf_counter() - began) / count * 1e6:10.3f} us")


def main() -> None:
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("FLASH_SHARED", beside)))
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    parser.add_argument("--cache", type=Path, help="folder that keeps the networks' features")
    parser.add_argument("--brief", action="store_true", help="all spaces, no NAS-Bench-201 alone")
    options = parser.parse_args()
    if not (options.shared / "data").is_dir():
        sys.exit(f"{options.shared}: no third-party data here; give their folder with --shared")
    report = Report()
    report(CHOICES)

    def made(name: str, read_space: Callable[[Path], Space], kind: str = "") -> Judged:
        file = None if options.cache is None else options.cache / f"{name}{kind}.npz"
        return Judged.made(read_space(options.shared), file)

    judged = {name: made(name, space) for name, space in (SPACES | BEYOND).items()}
    whole = {name: made(name, space, "-whole") for name, space in WHOLE.items()}
    all_spaces(report, judged)
    best_tenths(report, whole | {name: judged[name] for name in BEYOND})
    leave_one_out(report, judged, rules(), "the rule's form, entropy and shares as derived")
    leave_one_out(report, judged, wide_rules(), "their exponents free as well")
    orders(report)
    if not options.brief:
        nasbench201(report, options.shared)
        speed(report)
    if options.out:
        options.out.write_text("\n".join(report.lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
