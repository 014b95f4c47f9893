"""A process that prepares batches: reads jobs on its standard input, writes what it made on its standard output.

It is a program of its own, not a fork of the training process (whose threads would be lost) nor a `multiprocessing`
child (which would run the caller's script again). It ends with its input, so none outlives a training that was killed.
"""

from __future__ import annotations

import os
import pickle
import sys


def main() -> None:
    """Serve until the input ends."""
    jobs = sys.stdin.buffer
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not mix with the results
    examples = pickle.load(jobs)
    while True:
        try:
            planned, epoch, fixed_shape = pickle.load(jobs)
        except EOFError:
            return
        try:
            result = examples.prepare(planned, epoch, fixed_shape=fixed_shape)
        except Exception as error:
            result = error
        try:
            pickle.dump(result, results, protocol=pickle.HIGHEST_PROTOCOL)
            results.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
