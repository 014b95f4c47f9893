"""Finds the decoder settings with the fewest errors."""
