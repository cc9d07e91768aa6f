"""Training sampled designs: recipes, image sets, workers and the table of results."""
