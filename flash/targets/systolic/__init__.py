"""Systolic arrays: latency, energy and area of networks on an array of multipliers."""
