"""`python -m asr` is the `asr` command."""

from asr.cli.main import entry_point

if __name__ == "__main__":
    entry_point()
