"""Network families: each written once, emitted as a graph or as a table."""
