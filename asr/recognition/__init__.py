"""Recognition: recordings in, transcripts out."""
