"""The time that compilers take is told from that of steps, and their programs are kept between runs."""

from __future__ import annotations

import os

from asr.cli.training_run import keep_compiled_programs
from asr.training.compilation import CompilationTimer


def test_the_first_step_of_a_shape_less_its_later_ones_is_the_compilation():
    timer = CompilationTimer(compiles=True)
    for shape, seconds in (((4, 100), 5.5), ((4, 100), 0.5), ((4, 200), 9.0), ((4, 100), 0.5)):
        timer.add(shape, seconds)
    # 5.5 - 0.5 for one, and 9 - 1 for the other: twice as many frames.
    assert timer.report() == "compiled for 2 shapes of batches: about 13 s"
    assert timer.report() is None
    timer.add((2, 100), 3.25)
    assert timer.report() == "compiled for 1 shape of batches: about 3 s"


def test_without_a_second_step_the_time_of_the_first_is_part_of_what_is_reported():
    timer = CompilationTimer(compiles=True)
    timer.add((4, 100), 2.0)
    assert timer.report() == "compiled for 1 shape of batches: 2 s, with their first steps"


def test_a_back_end_that_does_not_compile_has_nothing_to_report():
    timer = CompilationTimer(compiles=False)
    timer.add((4, 100), 2.0)
    assert timer.report() is None


def test_compiled_programs_are_kept_in_a_folder_of_this_processor(tmp_path, monkeypatch):
    for name in ("TF_XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASR_COMPILED_DIR", str(tmp_path))
    keep_compiled_programs()
    (folder,) = tmp_path.iterdir()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder / "jax")
    assert os.environ["TF_XLA_FLAGS"] == f"--tf_xla_persistent_cache_directory={folder / 'tensorflow'}"
    keep_compiled_programs()
    assert os.environ["TF_XLA_FLAGS"].count("persistent_cache_directory") == 1


def test_an_empty_folder_name_keeps_none_and_settings_of_the_libraries_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=0")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/mine")
    monkeypatch.setenv("ASR_COMPILED_DIR", "")
    keep_compiled_programs()
    assert os.environ["TF_XLA_FLAGS"] == "--tf_xla_auto_jit=0"
    monkeypatch.setenv("ASR_COMPILED_DIR", str(tmp_path))
    keep_compiled_programs()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "/mine"
    assert os.environ["TF_XLA_FLAGS"].startswith("--tf_xla_auto_jit=0 --tf_xla_persistent_cache_directory=")
