"""Training: checks the data, trains the model, writes the run directory."""
