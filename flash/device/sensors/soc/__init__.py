"""Sensors beside systems on a chip."""
