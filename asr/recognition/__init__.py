"""Joins the rooms: recordings in, transcripts out."""
