"""Processors one buys: profiles fitted to measurements, and their costs."""
