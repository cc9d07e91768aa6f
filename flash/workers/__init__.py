"""Work spread over processes and over the machines of a Ray cluster."""
