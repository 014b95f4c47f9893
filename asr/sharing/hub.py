"""A repository on the Hugging Face hub that holds a bundle, through the package huggingface_hub (extra `hub`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from asr.errors import ConfigError
from asr.packages import require_packages


def open_repository(name: str, *, private: bool) -> None:
    """Make the repository of a model if there is none.

    Raises
    ------
    ConfigError
        If the hub refuses or cannot be reached.
    """
    with _errors(name):
        from huggingface_hub import HfApi

        HfApi().create_repo(name, private=private, exist_ok=True)


def download(name: str, folder: Path, wanted: Sequence[str], revision: str | None) -> None:
    """Copy files into a folder, as far as the repository has them; errors as in `open_repository`."""
    with _errors(name):
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RevisionNotFoundError

        api = HfApi()
        try:
            there = set(api.list_repo_files(name, revision=revision))
        except RevisionNotFoundError:
            if revision is None:
                return  # a new repository
            raise
        for file in wanted:
            if file in there:
                api.hf_hub_download(name, file, revision=revision, local_dir=folder)


def upload(name: str, folder: Path, changed: Sequence[str], journal: str, message: str, revision: str | None) -> None:
    """Commit the changed files of a folder, and remove those that no longer exist; errors as in `open_repository`."""
    if not changed:
        return
    with _errors(name):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        operations = [
            CommitOperationAdd(path_in_repo=one, path_or_fileobj=(folder / one).read_bytes())
            if (folder / one).is_file()
            else CommitOperationDelete(path_in_repo=one)
            for one in [*changed, journal]
        ]
        HfApi().create_commit(name, operations, commit_message=message, revision=revision)


@contextmanager
def _errors(name: str) -> Iterator[None]:
    require_packages("huggingface_hub", extra="hub", purpose=f"hf://{name}")
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    try:
        yield
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, ConnectionError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # of a file of this machine
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"hf://{name}: {reason[0]}") from error
