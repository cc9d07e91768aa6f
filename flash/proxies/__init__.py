"""Training-free scores that run the network at initialisation.

``score_network(network, ["naswot", "zico"], seed=0)`` returns a dictionary of scores. The
registry (``PROXIES``, ``AGGREGATES``) needs no PyTorch; scoring does (the extra ``torch``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily
from flash.proxies.registry import AGGREGATES, PROXIES, Aggregate, Proxy, ingredients

if TYPE_CHECKING:
    from flash.proxies.scoring import ProxyScores, aggregate, log_rank, score_network

__all__ = [
    "AGGREGATES",
    "PROXIES",
    "Aggregate",
    "Proxy",
    "ProxyScores",
    "aggregate",
    "ingredients",
    "log_rank",
    "score_network",
]

__getattr__ = lazily(
    __name__,
    dict.fromkeys(("ProxyScores", "aggregate", "log_rank", "score_network"), ("scoring", "torch")),
)
