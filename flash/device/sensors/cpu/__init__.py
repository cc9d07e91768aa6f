"""Sensors inside processors."""
