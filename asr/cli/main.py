"""The entry point of the `asr` command: picks the subcommand, and turns errors into messages and exit codes."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from asr.cli.overview import COMMANDS, OVERVIEW
from asr.cli.streams import drop_unwritable, open_standard_streams, say
from asr.errors import AsrError, ConfigError, ManifestError, TrainingError
from asr.processes import collect_garbage_rarely, stopping_signals

DONE, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
_LINES_SHOWN = 50
"""of an error that lists problems"""


def entry_point() -> None:
    """Run the command line of this process and leave with its exit code."""
    # Matrices are small here, and `workers` distributes the cores: threads of BLAS would only compete with them, and
    # change the rounding. Must be set before NumPy is imported.
    for name in ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")
    collect_garbage_rarely()
    for number in stopping_signals():
        if number != signal.SIGINT:
            signal.signal(number, _end)
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # A file name may be invalid in every encoding; it is printed unchanged.
        stream.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    code = main(sys.argv[1:])
    # At its end, Python would look through all objects for cycles once more, which takes a twentieth or more of the
    # processor time of a short recording. Outputs are closed by now, and the system frees the memory.
    gc.freeze()
    sys.exit(code)


def _end(number: int, _frame: object) -> NoReturn:
    """End so that files are closed and temporary ones removed, as after Ctrl-C."""
    if number != signal.SIGTERM:
        signal.signal(number, signal.SIG_IGN)  # a shell repeats what the system sends when a terminal is closed
    sys.exit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Run a command line.

    Parameters
    ----------
    arguments : sequence of str
        Without the name of the program.

    Returns
    -------
    int
        The exit code. No error that a user can cause leaves a stack trace, unless --verbose asks for it.
    """
    arguments = list(arguments)
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except AsrError as error:
        return _report(error, arguments, SOME_FAILED if isinstance(error, TrainingError) else USAGE)
    except OSError as error:
        unwritable = drop_unwritable()
        if isinstance(error, BrokenPipeError):  # the reader of the output was closed (`| head`)
            return SOME_FAILED
        if unwritable:
            error = OSError(error.errno, error.strerror, unwritable[0])
        return _report(error, arguments, SOME_FAILED)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    finally:
        drop_unwritable()


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"--help", "-h", "help"}:
        commands = "\n".join(f"  {name:<12}{text}" for name, text in COMMANDS.items())
        print(OVERVIEW.format(commands=commands))
        return DONE
    if arguments[0] == "--version":
        from asr.packages import asr_version

        print(f"asr {asr_version()}")
        return DONE
    name = arguments[0]
    if name == "complete":  # called by a completion script
        from asr.cli.completion import complete

        return complete(arguments[1:])
    if name not in COMMANDS:
        from asr.cli.arguments import nearest

        near = nearest(name, COMMANDS)
        hint = f"did you mean `asr {near}`?" if near else "`asr --help` lists the commands"
        if not near and os.path.exists(name):
            hint = f"did you mean `asr transcribe {name}`?"
        raise ConfigError(f"there is no command {name!r}; {hint}")
    if "--version" in arguments[1:]:
        return _run(["--version"])
    code: int = import_module(f"asr.cli.{name.replace('-', '_')}").run(arguments[1:])
    return code


def _report(error: Exception, arguments: Sequence[str], code: int) -> int:
    if {"--verbose", "-v"} & set(arguments):
        import traceback

        say("".join(traceback.format_exception(error)).rstrip())
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"
    lines = text.splitlines() or [type(error).__name__]
    if len(lines) == 1:
        say(f"asr: error: {lines[0]}")
    else:
        summary = len(error.summary) if isinstance(error, ManifestError) else 0
        say(f"asr: error: {len(lines) - summary} problems")
        shown = summary + _LINES_SHOWN
        for line in lines[:shown]:
            say(f"  {line}")
        if len(lines) > shown:
            say(f"  ... and {len(lines) - shown} more")
    return code
