"""Text that people can read: capitals, punctuation and numbers for finished text."""
