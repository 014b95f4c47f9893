"""Transcripts as files: a table of output formats, one module for each family."""
