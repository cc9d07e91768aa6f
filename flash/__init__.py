"""flash: hardware-aware co-design of neural networks."""

__version__ = "0.1.0"
