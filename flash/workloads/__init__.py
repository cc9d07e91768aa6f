"""What is run on a device to learn its speed: workloads, and suites of them."""

from __future__ import annotations

from flash.workloads.language import workload_network

__all__ = ["workload_network"]
