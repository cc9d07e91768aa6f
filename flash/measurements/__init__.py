"""Measured networks of a device: the format, its reader, comparison with predictions."""
