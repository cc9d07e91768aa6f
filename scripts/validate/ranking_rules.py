"""Rules of ranking that are compared in ``ranking.py``, on features of networks.

Features of a space are worked out once (``features``) and kept on disk; a rule is then scored in
milliseconds. The rule of flash is ``RULE``; ``score_network`` must give what it gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flash.metrics.degree import network_nn_degree
from flash.metrics.sed.graph import trace
from flash.metrics.sed.isometry import isometry
from flash.metrics.sed.live import positions
from flash.metrics.sed.maps import PIXEL_ENTROPY
from flash.metrics.sed.paths import path_shares, unbypassed_depth
from flash.spaces.network import Network

__all__ = ["RULE", "Features", "Rule", "features", "kept", "left_out", "rules", "wide_rules"]

Floats = NDArray[np.float64]

_COLUMNS = ("read", "written", "groups", "taps", "positions", "gated", "entropy", "share", "gate")
_TOTALS = ("params", "macs", "nn_degree", "sed", "isometry", "unbypassed_depth")


@dataclass(frozen=True)
class Features:
    """Of networks: one row a convolution, rows of network i from ``starts[i]`` on.

    rows: _COLUMNS -> (rows,).  totals: _TOTALS -> (networks,).
    """

    rows: dict[str, Floats]
    starts: NDArray[np.int64]
    totals: dict[str, Floats]

    def sums(self, values: Floats) -> Floats:
        """Sum over the convolutions of each network."""
        result: Floats = np.add.reduceat(values, self.starts)
        return result


def features(networks: Sequence[Network]) -> Features:
    """Features of networks that have a live convolution each."""
    rows, numbers, totals = list[list[float]](), [], []
    for network in networks:
        found = trace(network)
        live, shares = found.live, path_shares(found)
        for reading, entropy in zip(found.readings, found.entropies, strict=True):
            layer, n = live.layers[reading.number], reading.number
            size, gated = positions(layer), live.gates.get(n, 0)
            taps = reading.kernel[0] * reading.kernel[1]
            rows.append(
                [
                    int(layer.in_channels), int(layer.out_channels), int(layer.groups), taps, size,
                    gated or size, entropy / PIXEL_ENTROPY, shares[n], float(gated > 0),
                ]
            )  # fmt: skip
        numbers.append(len(found.readings))
        kept = network.live()
        totals.append(
            [kept.params, kept.macs, network_nn_degree(network), found.sed,
             isometry(found), unbypassed_depth(live)]
        )  # fmt: skip
    columns = dict(zip(_COLUMNS, np.array(rows, dtype=np.float64).T, strict=True))
    of_all = dict(zip(_TOTALS, np.array(totals, dtype=np.float64).T, strict=True))
    return Features(columns, np.cumsum([0, *numbers[:-1]]), of_all)


def kept(path: Path, networks: Sequence[Network]) -> Features:
    """``features``, read from a file where it has them already."""
    if path.exists():
        with np.load(path, allow_pickle=False) as file:
            rows = {name: file[f"row_{name}"] for name in _COLUMNS}
            totals = {name: file[f"total_{name}"] for name in _TOTALS}
            return Features(rows, file["starts"], totals)
    found = features(networks)
    arrays = {f"row_{name}": v for name, v in found.rows.items()}
    arrays |= {f"total_{name}": v for name, v in found.totals.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, starts=found.starts, **arrays)
    return found


@dataclass(frozen=True)
class Rule:
    """Exponents; see ``flash/metrics/sed/SED.md``, section 4.

    root: of links x entropy of a layer.  positions: of its positions.  entropy: of the window's,
    beside ``root``.  share: of the path share.  isometry, thinness, sed: of 1 + I, 1 + beta, SED.
    longest: unbypassed depth at which half is lost, 0 for no such limit.  taps: every tap counts
    as one number.  gates: those of a gate act at all positions that they gate.
    """

    name: str = field(default="the rule", compare=False)
    root: float = 0.5
    positions: float = 0.625
    entropy: float = 0.5
    share: float = 0.25
    isometry: float = 1.0
    thinness: float = 0.5
    sed: float = 0.0
    longest: float = 28.0
    taps: bool = False
    gates: bool = True

    def capacity(self, of: Features) -> Floats:
        """Sum over the layers."""
        r = of.rows
        read = r["taps"] if self.taps else r["entropy"]
        size = r["gated"] if self.gates else r["positions"]
        links = r["read"] * r["written"] / r["groups"]
        return of.sums(
            links**self.root * read**self.entropy * size**self.positions * r["share"] ** self.share
        )

    def log_score(self, of: Features) -> Floats:
        """Logarithm of the score, (networks,)."""
        thin = of.sums(of.rows["share"] / of.rows["read"] * (1 - of.rows["gate"]))
        total: Floats = np.log(self.capacity(of)) - self.thinness * np.log1p(thin)
        total += self.isometry * np.log1p(of.totals["isometry"])
        total += self.sed * np.log(of.totals["sed"])
        if self.longest:
            total -= np.log1p((of.totals["unbypassed_depth"] / self.longest) ** 4)
        return total


RULE = Rule()


def left_out() -> Iterator[Rule]:
    """The rule, and the rule without or with another form of each of its parts."""
    yield RULE
    yield replace(RULE, name="root: none (exponent 1)", root=1.0, positions=1.0, entropy=1.0)
    yield replace(RULE, name="root: exponent 1/4", root=0.25, positions=0.3125, entropy=0.25)
    yield replace(RULE, name="positions like channels (1/2)", positions=0.5)
    yield replace(RULE, name="positions 3/4", positions=0.75)
    yield replace(RULE, name="no entropy of windows", entropy=0.0)
    yield replace(RULE, name="taps instead of entropy", taps=True)
    yield replace(RULE, name="no path shares in capacity", share=0.0)
    yield replace(RULE, name="path shares by variance (1/2)", share=0.5)
    yield replace(RULE, name="no isometry", isometry=0.0)
    yield replace(RULE, name="isometry to the 1/2", isometry=0.5)
    yield replace(RULE, name="no depth over width", thinness=0.0)
    yield replace(RULE, name="depth over width to the 1", thinness=1.0)
    yield replace(RULE, name="no limit of bare depth", longest=0.0)
    yield replace(RULE, name="gates at one position", gates=False)
    yield replace(RULE, name="capacity alone", isometry=0.0, thinness=0.0, longest=0.0)
    yield replace(RULE, name="with SED^1/2, positions 1/2", sed=0.5, positions=0.5)


def rules() -> list[Rule]:
    """The family of which a rule is chosen, leaving out a space."""
    return [
        replace(RULE, positions=positions, isometry=isometry, thinness=thinness, longest=longest)
        for positions, isometry, thinness, longest in itertools.product(
            (0.5, 0.625, 0.75), (0.0, 0.5, 1.0), (0.0, 0.5, 1.0), (0.0, 24.0, 28.0, 32.0)
        )
    ]


def wide_rules() -> list[Rule]:
    """The same with the exponents of entropy and path share free as well."""
    return [
        replace(rule, entropy=entropy, share=share)
        for rule in rules()
        for entropy, share in itertools.product((0.25, 0.5, 0.75), (0.25, 0.5))
    ]
