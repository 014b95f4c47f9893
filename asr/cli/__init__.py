"""The command line: one module per command, which composes settings, calls, and prints."""
