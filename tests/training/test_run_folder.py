"""The folder of a run: what is refused before anything is read."""

from pathlib import Path

import pytest

from asr.errors import OutputError
from asr.settings.commands import TrainTextConfig
from asr.training.run_folder import check_place, check_run_folder, locked
from asr.training.text_run import check_text_run


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("notes.txt", "is not a folder; choose another run_dir"),
        ("notes.txt/run", "notes.txt is not a folder"),
        ("n" * 300, "the name has 300 bytes"),
        ("link", "is not a folder"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    run_dir = tmp_path / name
    for check in (check_place, check_run_folder):
        with pytest.raises(OutputError, match=reason):
            check(run_dir)
    with pytest.raises(OutputError, match=reason):
        check_text_run(run_dir, TrainTextConfig(), may_change=())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_the_system_refuses_is_named_with_the_reason() -> None:
    with (
        pytest.raises(OutputError, match=r"/dev/null/run: cannot be written \(Not a directory\)"),
        locked(Path("/dev/null/run")),
    ):
        pass


def test_new_and_empty_folders_are_fine(tmp_path: Path) -> None:
    check_place(tmp_path)
    check_place(tmp_path / "new" / "run")
