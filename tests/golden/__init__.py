"""Documents that flash wrote once, kept to compare with what it writes now."""
