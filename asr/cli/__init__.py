"""The command line: one module per command, which composes settings, calls the library, and prints."""
