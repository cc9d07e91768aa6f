"""Network and chip searched together: the joint space, its tables, and how far from the best."""

from flash.search.joint.certificate import certified_front
from flash.search.joint.pricing import evaluate_joint
from flash.search.joint.problem import NetworksAndChips
from flash.search.joint.searching import search_joint, why_no_chip
from flash.search.joint.space import CoSpace, FamilyTarget, joint_space
from flash.search.joint.tables import joint_problem

__all__ = [
    "CoSpace",
    "FamilyTarget",
    "NetworksAndChips",
    "certified_front",
    "evaluate_joint",
    "joint_problem",
    "joint_space",
    "search_joint",
    "why_no_chip",
]
