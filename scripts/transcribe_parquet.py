"""Transcribes tables: Parquet with recordings as bytes in, Parquet with texts out, by Ray Data.

    python scripts/transcribe_parquet.py s3://bucket/calls s3://bucket/texts --workers 64
    python scripts/transcribe_parquet.py calls.parquet texts --address auto --audio-column audio

The recordings are in a column of bytes, each a complete file of any format. All other columns are kept; `text`,
`seconds` and `error` are added. A recording that cannot be read has an error and no text. The rows of a block that was
not written are done again by a second run (Ray Data writes whole blocks): for files, and for work that goes on exactly
where it stopped, use `asr transcribe cluster=auto`. Needs `pip install 'asr[cluster]' pyarrow pandas`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


class Transcribe:
    """Transcribes the rows of a batch; an actor of Ray Data makes one and keeps it."""

    def __init__(self, bundle: str, column: str) -> None:
        from asr import Transcriber, load_bundle

        self._transcriber = Transcriber(load_bundle(bundle), workers=1)
        self._column = column

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        contents = batch.pop(self._column)
        with tempfile.TemporaryDirectory(prefix="asr-") as folder:
            # The format is found by content, not by suffix.
            paths = [Path(folder) / str(number) for number in range(len(contents))]
            for path, content in zip(paths, contents, strict=True):
                path.write_bytes(content)
            results = list(self._transcriber.transcribe_files(paths))
        errors = [getattr(one, "reason", None) for one in results]
        batch["text"] = np.array([getattr(one, "text", None) for one in results], object)
        batch["seconds"] = np.array([getattr(one, "duration", 0.0) for one in results])
        batch["error"] = np.array(errors, object)
        return batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="file or folder of Parquet, by path or URL")
    parser.add_argument("output", help="folder, by path or URL")
    parser.add_argument("--bundle", default="en")
    parser.add_argument("--audio-column", default="audio")
    parser.add_argument("--address", default="auto", help="of the Ray cluster")
    parser.add_argument("--workers", type=int, default=2, help="cores")
    parser.add_argument("--rows", type=int, default=16, help="of a batch, which is in memory at once")
    options = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray sends statistics about its use otherwise
    import ray

    ray.init(address=options.address, log_to_driver=False)
    table = ray.data.read_parquet(options.input)
    table.map_batches(
        Transcribe,
        fn_constructor_args=(options.bundle, options.audio_column),
        batch_size=options.rows,
        batch_format="numpy",
        num_cpus=1,
        concurrency=options.workers,
    ).write_parquet(options.output)


if __name__ == "__main__":
    main()
