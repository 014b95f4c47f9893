"""Language models: n-grams, their files and training, and the vocabulary that decoders use."""
