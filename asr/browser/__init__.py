"""A page that recognises speech in the browser, without a server: its files, and what writes them for a model."""
