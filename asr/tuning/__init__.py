"""Finds the settings of a decoder that write the fewest errors."""
