"""Collections of utterances: manifests and batches."""
