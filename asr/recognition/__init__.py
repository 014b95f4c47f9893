"""Recognition: from recordings and streams to transcripts."""
