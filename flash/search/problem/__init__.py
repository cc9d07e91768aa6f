"""What a search goes through, and what it asks of it, whichever kind of problem it is."""

from flash.search.problem.base import DesignSpace, Effort, Problem, ReportedTarget

__all__ = ["DesignSpace", "Effort", "Problem", "ReportedTarget"]
