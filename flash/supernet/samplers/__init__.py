"""Samplers, a method of the literature each."""
