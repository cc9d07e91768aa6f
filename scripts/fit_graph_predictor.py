"""Fit the graph predictor that comes with flash, and judge it on spaces that it did not see.

    python scripts/fit_graph_predictor.py [--shared ../shared] [--networks 200] [--fits 5]
        [--check]

Networks of NAS-Bench-201, NAS-Bench-Macro and TransNAS-Bench-101 macro; the target is the sum over
a space's tasks of accuracy in deviations from the space's mean. Printed: Spearman on each space of
a predictor fitted to the other two, beside ``rank_score`` and parameters. Written: the predictor
fitted to all three, ``models/predictors/tg-nas.json`` (--check: nothing is written, exit code 1
where it would differ). Two minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "validate"))

import ranking_spaces  # noqa: E402 (beside the other validations)

from flash.files.locations import predictor_file  # noqa: E402
from flash.metrics import network_scores  # noqa: E402
from flash.metrics.graph_network import Graph, GraphNetwork  # noqa: E402
from flash.metrics.tg_nas import DESCRIPTORS, graph_of  # noqa: E402

Floats = NDArray[np.float64]
SPACES = {
    "nasbench201": ranking_spaces.nasbench201,
    "nasbench-macro": ranking_spaces.nasbench_macro,
    "transnas-macro": ranking_spaces.transnas,
}
DIGITS = 5


class Known:
    """A space's networks as graphs, their targets, and the scores to compare with."""

    def __init__(self, shared: Path, name: str, networks: int) -> None:
        space = SPACES[name](shared, networks)
        built = [build() for build in space.builds]
        self.graphs: list[Graph] = [graph_of(network) for network in built]
        self.target = deviations(sum(deviations(truth) for truth in space.truths.values()))
        self.rank_score = [network_scores(n, ["rank_score"])["rank_score"] for n in built]
        self.params = [float(network.live().params) for network in built]


def deviations(values: Floats | int) -> Floats:
    """Values in deviations from their mean."""
    given = np.asarray(values, dtype=np.float64)
    return np.array((given - given.mean()) / given.std())


def fitted(spaces: list[Known], fits: int) -> list[GraphNetwork]:
    """Predictors of these spaces, seeds 0, 1 ...: their mean is the predictor."""
    graphs = [graph for space in spaces for graph in space.graphs]
    target = np.concatenate([space.target for space in spaces])
    return [GraphNetwork.fitted(graphs, target, seed) for seed in range(fits)]


def document(spaces: dict[str, Known], fits: int) -> str:
    """The file of the predictor fitted to all spaces."""
    networks = fitted(list(spaces.values()), fits)
    content = {
        "schema": "flash.predictor/1",
        "fitted_by": "scripts/fit_graph_predictor.py",
        "fitted_to": {name: len(space.graphs) for name, space in spaces.items()},
        "descriptors": list(DESCRIPTORS),
        "fits": [
            {name: np.round(value, DIGITS).tolist() for name, value in network.arrays.items()}
            for network in networks
        ],
    }
    return json.dumps(content) + "\n"


def left_out(spaces: dict[str, Known], fits: int) -> dict[str, list[Floats]]:
    """Scores of each space by predictors fitted to the others, one array a fit."""
    found = {}
    for name, space in spaces.items():
        others = [other for key, other in spaces.items() if key != name]
        found[name] = [network.scores(space.graphs) for network in fitted(others, fits)]
    return found


def main() -> int:
    beside = ROOT.parent / "shared"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("FLASH_SHARED", beside)))
    parser.add_argument("--networks", type=int, default=200, help="of each space")
    parser.add_argument("--fits", type=int, default=5, help="whose mean is the predictor")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args()
    if not (options.shared / "data").is_dir():
        sys.exit(f"{options.shared}: no third-party data here; give their folder with --shared")
    spaces = {name: Known(options.shared, name, options.networks) for name in SPACES}
    for name, scores in left_out(spaces, options.fits).items():
        space = spaces[name]

        def rho(score: Floats | list[float], target: Floats = space.target) -> float:
            return float(spearmanr(score, target)[0])

        alone = [rho(score) for score in scores]
        both = rankdata(np.mean(scores, axis=0)) + rankdata(space.rank_score)
        print(
            f"{name}, {len(space.graphs)} networks, fitted to the other two: "
            f"{rho(np.mean(scores, axis=0)):.3f} (single fits {min(alone):.3f} to "
            f"{max(alone):.3f}); rank_score {rho(space.rank_score):.3f}, ranks of both "
            f"{rho(both):.3f}, parameters {rho(space.params):.3f}"
        )
    text, path = document(spaces, options.fits), predictor_file("tg-nas")
    if options.check:
        return int(path.read_text(encoding="utf-8") != text)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
