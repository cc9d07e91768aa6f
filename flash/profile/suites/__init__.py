"""Suites: the networks that are measured to learn a device's speed."""
