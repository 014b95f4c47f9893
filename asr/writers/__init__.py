"""Transcripts as files: one module for each family of output formats."""
