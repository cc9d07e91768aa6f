"""Sensors of power and energy, in folders that mirror the hardware."""
