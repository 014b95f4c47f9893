"""An evaluation report for people: text for the terminal, Markdown, and a page."""
