"""Output formats of transcripts, in one table."""
