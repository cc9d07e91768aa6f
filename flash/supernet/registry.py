"""The samplers by name: what decides which designs a supernet is trained on.

A new one is a file of ``flash.supernet.samplers`` and one line here, or an entry point of group
``flash.samplers`` in a package of your own; ``flash.testing.SamplerConformance`` holds it to what
``flash.supernet.sampler`` promises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.plugins import Registry

if TYPE_CHECKING:  # the names are known without numpy
    from flash.supernet.sampler import Sampler

__all__ = ["SAMPLERS"]

#: Classes of samplers by the name users give (``--search NAME --evaluator supernet:DATA``).
SAMPLERS: Registry[type[Sampler]] = Registry(
    "flash.samplers",
    "sampler",
    {
        "uniform": "flash.supernet.samplers.uniform:Uniform",
        "reinforce": "flash.supernet.samplers.reinforce:Reinforce",
        "advantage": "flash.supernet.samplers.advantage:Advantage",
        "ddpnas": "flash.supernet.samplers.pruning:DynamicDistribution",
        "bnas": "flash.supernet.samplers.pruning:Binarized",
        "balenas": "flash.supernet.samplers.balenas:Variational",
        "da-nas": "flash.supernet.samplers.curriculum:Curriculum",
    },
)
