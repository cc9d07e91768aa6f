"""Statistics of runtimes: from measurements to the coefficients of a processor's profile."""
