"""What a strategy is, and the strategies by name.

A new one is a file of this room and one line in ``STRATEGIES``, or an entry point of group
``flash.strategies`` in a package of your own. ``flash.testing.StrategyConformance`` holds it to
what is promised here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flash.plugins import Registry

if TYPE_CHECKING:  # the names are known without numpy
    import numpy as np

    from flash.search.budgeted.candidates import Candidates
    from flash.search.budgeted.evaluator import Evaluator

__all__ = ["DATA_FREE", "STRATEGIES", "Strategy"]

#: Scores that the description of a design gives, in microseconds to milliseconds each.
DATA_FREE = ("rank_score", "sed", "nn_degree", "nn_mass", "params", "macs")


@dataclass(frozen=True)
class Strategy:
    """A search that spends a small training budget.

    run:     candidates, evaluator and generator -> what else there is to tell, as plain values.
             A strategy that looks for more than accuracy says which of the evaluator's trials it
             chose, from 0 on, as "chosen".
             It spends the evaluator's budget on candidates; the same generator and accuracies
             make the same choices. It raises ``UsageError`` for candidates it cannot use.
    metrics: scores it works with where the user names none; empty for all that tell candidates
             apart.
    needs_metrics: why the user has to name them, with an example; empty where they need not.
    """

    run: Callable[[Candidates, Evaluator, np.random.Generator], dict[str, Any]]
    metrics: tuple[str, ...] = ()
    needs_metrics: str = ""


#: Strategies by the name users give.
STRATEGIES: Registry[Strategy] = Registry(
    "flash.strategies",
    "search",
    {
        "aggregate": "flash.search.budgeted.aggregate:AGGREGATE",
        "ageing": "flash.search.budgeted.ageing:AGEING",
        "autoshrink": "flash.search.budgeted.autoshrink:AUTOSHRINK",
        "econas": "flash.search.budgeted.econas:ECONAS",
        "evolution": "flash.search.budgeted.evolution:EVOLUTION",
        "evolution-worst": "flash.search.budgeted.evolution:EVOLUTION_WORST",
        "eznas": "flash.search.budgeted.eznas:EZNAS",
        "hnas": "flash.search.budgeted.hnas:HNAS",
        "hnas-published": "flash.search.budgeted.hnas:HNAS_PUBLISHED",
        "pdns": "flash.search.budgeted.pdns:PDNS",
        "random": "flash.search.budgeted.aggregate:RANDOM",
        "reinforce": "flash.search.budgeted.reinforce:REINFORCE",
        "robot": "flash.search.budgeted.robot:ROBOT",
        "tg-nas": "flash.search.budgeted.tg_nas:TG_NAS",
        "weak": "flash.search.budgeted.weak:WEAK",
        "weak-mlp": "flash.search.budgeted.weak:WEAK_MLP",
    },
)
