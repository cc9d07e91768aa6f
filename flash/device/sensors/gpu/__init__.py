"""Sensors of graphics processors."""
