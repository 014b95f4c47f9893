"""The `asr` command: one thin module a subcommand, which composes settings, calls, and prints."""
