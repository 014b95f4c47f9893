"""The acoustic model: frames in, log-probabilities of symbols out."""
