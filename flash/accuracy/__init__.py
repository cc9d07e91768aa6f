"""From scores to predicted accuracy: which designs to train, and models fitted to them."""

from flash.accuracy.sampling import sample_designs, split_designs

__all__ = ["sample_designs", "split_designs"]
