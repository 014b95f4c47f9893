"""`asr average`, as far as its command line goes; what it computes is in `tests/training/test_average.py`."""

from __future__ import annotations


def test_what_is_wrong_with_a_command_line_is_one_line(asr_command, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([], "no file is named; `asr average --help` shows examples"),
        ([tmp_path, tmp_path / "empty"], "asr average takes the folder of one run, not 2"),
        ([tmp_path / "empty"], "holds no run; give the folder of a run of `asr train`"),
    ):
        done = asr_command("average", *arguments)
        assert done.code == 2
        assert done.out == ""
        assert message in done.err
        assert done.err.count("\n") == 1
