"""Transcripts as files: one table of formats."""
