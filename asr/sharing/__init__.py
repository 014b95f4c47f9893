"""Bundles for others: a model card (`model_card`), and copies in folders, Git remotes and on the Hugging Face hub."""
