"""What is wrong with some data: recordings, transcripts, and how they were split."""
