"""The proxies by name: which way they point, what they cost, where they come from.

Nothing heavy is imported here; a proxy's own module is imported when it is first asked for. A new
proxy is a file of this room and one line in ``PROXIES``, or a ``Proxy`` that an entry point of
group ``flash.proxies`` names in a package of your own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Literal

from flash.errors import UsageError, did_you_mean
from flash.plugins import Registry
from flash.quantities import Quantity

__all__ = ["AGGREGATES", "PROXIES", "SCORES", "Aggregate", "Cost", "Proxy", "ingredients"]

#: What scoring one network takes, cheapest first.
Cost = Literal[
    "counting", "forward", "several forwards", "backward", "several backwards", "backward an image"
]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A training-free score that runs the network at initialisation.

    place:   ``"module:function"``; the function gets a ``flash.proxies.probe.Probe`` and returns
             the score. It is imported when it is first asked for.
    batch:   images a batch where the user says nothing: the source's own number.
    rising:  more is better; else less is.
    source:  the paper the formula is from, and what is ours.
    version: to be raised when its numbers change: scores kept on disk are then not found.
    """

    name: str
    place: str
    cost: Cost
    batch: int
    source: str
    rising: bool = True
    version: int = 1

    @property
    def quantity(self) -> Quantity:
        """The score as reports show it: turned so that more is better."""
        return Quantity(self.name, self.name)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A score of a network among others: ranks of several proxies put together.

    how: "log_rank" is the sum of log(rank / m) over the members, "rank" the sum of ranks.
    """

    name: str
    members: tuple[str, ...]
    how: Literal["log_rank", "rank"]
    source: str

    @property
    def quantity(self) -> Quantity:
        """The score as reports show it: more is better."""
        return Quantity(self.name, self.name)


def _own(
    name: str,
    module: str,
    cost: Cost,
    batch: int,
    source: str,
    *,
    rising: bool = True,
    version: int = 1,
) -> Proxy:
    """A proxy of ours: the function of its name in a module of this room."""
    return Proxy(name, f"flash.proxies.{module}:{name}", cost, batch, source, rising, version)


_AZ = "Lee & Ham, AZ-NAS, CVPR 2024"
_EPROXY = "Li et al., Eproxy, 2022 (arXiv 2210.09459)"
_HNAS = "Shu et al., HNAS, NeurIPS 2022"
_EZNAS = "Akhauri et al., EZNAS, NeurIPS 2022"
_INTRAIN = "InTrain, CVPR 2026"
_SWAP = "Peng et al., SWAP-NAS, ICLR 2024"
_TE = "Chen et al., TE-NAS, ICLR 2021"
_ZERO_COST = "Abdelfattah et al., Zero-cost proxies, ICLR 2021"

#: In the order in which they are cheap to compute.
PROXIES: Registry[Proxy] = Registry(
    "flash.proxies",
    "proxy",
    {
        proxy.name: proxy
        for proxy in (
            _own("az_complexity", "az_nas", "counting", 1, f"{_AZ}: MACs of the live network"),
            _own("described_rank", "described", "counting", 1, "rank_score of flash, ours"),
            _own("described_sed", "described", "counting", 1, "sed of flash, after Wu et al."),
            _own("synflow", "synflow", "backward", 1, "Tanaka et al., NeurIPS 2020; log, ours"),
            _own("meco", "meco", "forward", 1, "Jiang et al., MeCo, NeurIPS 2023"),
            _own(
                "linear_regions",
                "te_nas",
                "forward",
                1000,
                f"{_TE}; of a copy of the network with few channels",
            ),
            _own("participation", "intrain", "forward", 16, f"{_INTRAIN}: its forward part"),
            _own("naswot", "naswot", "forward", 128, "Mellor et al., NASWOT, ICML 2021"),
            _own("swap", "swap", "several forwards", 16, _SWAP),
            _own("swap_reg", "swap", "several forwards", 16, f"{_SWAP}; mu and sigma ours"),
            _own("zen", "zen", "several forwards", 16, "Lin et al., Zen-NAS, ICCV 2021"),
            _own(
                "epsinas",
                "epsinas",
                "several forwards",
                256,
                "Gracheva, Trainless model performance estimation, 2021",
                version=2,
            ),
            _own("grad_norm", "grad_norm", "backward", 64, _ZERO_COST),
            _own("snip", "snip", "backward", 64, "Lee et al., SNIP, ICLR 2019"),
            _own(
                "fisher",
                "fisher",
                "backward",
                64,
                "Theis et al., 2018; Turner et al., BlockSwap, ICLR 2020",
            ),
            _own("jacob_cov", "jacob_cov", "backward", 64, f"Mellor et al., 2020; {_ZERO_COST}"),
            _own("az_expressivity", "az_nas", "forward", 64, _AZ),
            _own("az_progressivity", "az_nas", "forward", 64, _AZ),
            _own("az_trainability", "az_nas", "backward", 64, _AZ),
            _own("intrain", "intrain", "backward", 32, f"{_INTRAIN}, from notes on it"),
            _own("eznas_a", "eznas_a", "backward", 16, f"{_EZNAS}, the released formula"),
            _own("eznas_a_sum", "eznas_a", "backward", 16, f"{_EZNAS}; summed over units, ours"),
            _own("zico", "zico", "backward", 64, "Li et al., ZiCo, ICLR 2023"),
            _own(
                "sigeo",
                "sigeo",
                "backward",
                64,
                "SiGeo, 2311.13169; of fresh weights here, see flash.supernet.score_warm",
            ),
            _own("grasp", "grasp", "backward", 64, "Wang et al., GraSP, ICLR 2020"),
            _own("eproxy", "eproxy", "several backwards", 16, f"{_EPROXY}; its targets are ours"),
            _own("hnas_trace", "hnas", "backward", 64, _HNAS, version=2),
            _own("hnas_condition", "hnas", "backward", 64, _HNAS, rising=False, version=2),
            _own("ntk_condition", "te_nas", "backward an image", 16, _TE, rising=False),
        )
    },
)

#: Scores that exist among several networks only.
AGGREGATES: Mapping[str, Aggregate] = MappingProxyType(
    {
        "az_nas": Aggregate(
            "az_nas",
            ("az_expressivity", "az_progressivity", "az_trainability", "az_complexity"),
            "log_rank",
            _AZ,
        ),
        "sed_jacob": Aggregate(
            "sed_jacob",
            ("described_rank", "described_sed", "jacob_cov"),
            "log_rank",
            "rank_score, sed and jacob_cov, ours: the best of 135 sums on half of NAS-Bench-201",
        ),
        "te_nas": Aggregate("te_nas", ("ntk_condition", "linear_regions"), "rank", _TE),
    }
)


class _Scores(Mapping[str, Proxy | Aggregate]):
    def __getitem__(self, name: str) -> Proxy | Aggregate:
        return AGGREGATES[name] if name in AGGREGATES else PROXIES[name]

    def __contains__(self, name: object) -> bool:
        return name in AGGREGATES or name in PROXIES

    def __iter__(self) -> Iterator[str]:
        return chain(PROXIES, AGGREGATES)

    def __len__(self) -> int:
        return len(PROXIES) + len(AGGREGATES)


#: All of them by name.
SCORES: Mapping[str, Proxy | Aggregate] = _Scores()


def ingredients(names: Iterable[str]) -> tuple[str, ...]:
    """The proxies that must be computed for these proxies and aggregates, each once.

    Raises ``UsageError`` for a name that is neither.
    """
    found: dict[str, None] = {}
    for name in names:
        if name in AGGREGATES:
            found |= dict.fromkeys(AGGREGATES[name].members)
        elif name in PROXIES:
            found[name] = None
        else:
            known = (*PROXIES, *AGGREGATES)
            raise UsageError(f"unknown proxy '{name}'{did_you_mean(name, known)}")
    return tuple(name for name in PROXIES if name in found)
