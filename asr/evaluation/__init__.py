"""Evaluation: error counts, alignments, statistics and reports."""
