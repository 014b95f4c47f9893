"""Texts in, numbers out: error counts, alignments, reports."""
