"""Finds faults in training data: in recordings, transcripts and splits."""
