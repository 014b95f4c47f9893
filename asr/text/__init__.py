"""Text: the one normaliser and the alphabet."""
