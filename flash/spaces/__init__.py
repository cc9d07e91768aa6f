"""Spaces of networks: families, layers, layer tables, graphs and stage tables."""
