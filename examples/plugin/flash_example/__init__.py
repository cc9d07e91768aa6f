"""One of each kind that flash can be extended by."""
