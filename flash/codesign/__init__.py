"""Network and chip searched together: the joint space, its tables, and how far from the best."""

from flash.codesign.catalog import CoSpace, FamilyTarget, joint_space
from flash.codesign.certificate import certified_front
from flash.codesign.pricing import evaluate_joint
from flash.codesign.searching import ratio, search_joint, why_no_chip
from flash.codesign.tables import joint_problem

__all__ = [
    "CoSpace",
    "FamilyTarget",
    "certified_front",
    "evaluate_joint",
    "joint_problem",
    "joint_space",
    "ratio",
    "search_joint",
    "why_no_chip",
]
