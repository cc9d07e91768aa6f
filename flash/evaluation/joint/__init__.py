"""Networks and chips together: the joint space, its stage tables, and the price of its designs."""

from flash.evaluation.joint.pricing import evaluate_joint
from flash.evaluation.joint.space import CoSpace, FamilyTarget, joint_space
from flash.evaluation.joint.tables import joint_problem

__all__ = ["CoSpace", "FamilyTarget", "evaluate_joint", "joint_problem", "joint_space"]
