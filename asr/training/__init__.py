"""Training: checks the data, fits the model, writes the run directory."""
