"""Text: normalisation, the alphabet, and the records of a transcript."""
