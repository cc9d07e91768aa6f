"""The problem that a user names: a space, a target and the hardware variables that are given."""

from __future__ import annotations

from flash.search.problem import Problem
from flash.search.problem.networks import Networks
from flash.spaces.space import load_space
from flash.targets import Given, load_hardware

__all__ = ["load_problem"]


def load_problem(
    target: str,
    runtime: str | None,
    hardware: Given | None,
    space: str,
) -> Problem:
    """Networks on one device or chip; with chips where hardware variables are left to choose.

    Raises as ``load_space`` and ``load_hardware`` do, and ``UsageError`` for a chip that cannot
    be.
    """
    networks = load_space(space)
    profile = load_hardware(target, runtime, networks.family.name)
    one_chip = profile.target(hardware)
    problem: Problem = Networks(networks, one_chip)
    if one_chip.chip:
        from flash.search.problem.joint import NetworksAndChips  # noqa: PLC0415 (accelerators)
        from flash.search.problem.joint_space import joint_space  # noqa: PLC0415 (accelerators)

        joint = joint_space(networks, profile, hardware)
        problem = problem if joint is None else NetworksAndChips(joint).with_choice()
    return problem
