"""IntGraph + Target -> Plan: which kernel runs each node, in what order, and where every tensor lives in the arena."""

from edgeq.plan.plan import Choice, Plan, Step, check_plan
from edgeq.plan.planner import make_plan

__all__ = ["Choice", "Plan", "Step", "check_plan", "make_plan"]
