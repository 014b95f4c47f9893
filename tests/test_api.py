"""The names of `import asr`: there at run time, seen by type checkers, and no others."""

from __future__ import annotations

import builtins
import inspect
import re
import subprocess
import sys

import pytest

import asr

from .conftest import REPOSITORY, SAMPLES

RECORDING = SAMPLES / "422-122949-0004.opus"
SNIPPET = """\
import asr

transcript = asr.transcribe("a.wav")
reveal_type(transcript)
reveal_type(transcript.words[0].start)
reveal_type(asr.align("a.wav", "a text"))
reveal_type(asr.score(["a"], ["b"]).words.errors)
reveal_type(asr.load_bundle("en"))
reveal_type(asr.TrainConfig(data=asr.DataConfig(train=["a.jsonl"]), model=asr.ModelConfig(depth=2)))
reveal_type(asr.__version__)
reveal_type(next(asr.Transcriber(asr.load_bundle()).transcribe_files(["a.wav"], errors="raise")))
asr.transcrbe("a.wav")
asr.transcribe("a.wav", bundel="en")
asr.score("a text", 3)
"""
REVEALED = ["Transcript", "float", "Transcript", "int", "Bundle", "TrainConfig", "str", "Transcript"]
REFUSED = [
    'Module has no attribute "transcrbe"', 'Unexpected keyword argument "bundel" for "transcribe"',
    'Argument 2 to "score" has incompatible type "int"',
]  # fmt: skip


def test_the_names_are_all_there():
    assert asr.__all__ == sorted(set(asr.__all__))
    assert dir(asr) == asr.__all__
    assert set(asr.__all__) - asr._HOMES.keys() == {"__version__", "transcribe"}
    for name in asr.__all__:
        assert getattr(asr, name) is not None


def test_a_name_stands_with_the_module_that_defines_it():
    for name, home in asr._HOMES.items():
        assert getattr(asr, name).__module__.startswith(home)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'asr' has no attribute 'nothing'"):
        asr.nothing  # noqa: B018


def check_types(snippet: str, folder) -> str:
    """What mypy says of a program."""
    path = folder / "snippet.py"
    path.write_text(snippet)
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={folder / 'cache'}", "--hide-error-context"]
    # Libraries without types are none of the program's business.
    command += ["--ignore-missing-imports", "--follow-imports=silent", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY).stdout


@pytest.mark.slow
def test_a_type_checker_sees_every_name_and_refuses_others(tmp_path):
    names = "".join(f"asr.{name}\n" for name in asr.__all__)
    said = check_types(SNIPPET + names + "from asr import " + ", ".join(asr.__all__) + "\n", tmp_path)
    assert re.findall(r'Revealed type is "(?:\w+\.)*(\w+)"', said) == REVEALED
    errors = re.findall(r"error: (.*)", said)
    assert len(errors) == len(REFUSED), said
    for error, expected in zip(errors, REFUSED, strict=True):
        assert expected in error


def test_no_name_is_hidden_behind_a_dynamic_getattr():
    """The quick sibling of the test with mypy: a module with `__getattr__` has any name for it."""
    import ast

    tree = ast.parse((REPOSITORY / "asr" / "__init__.py").read_text("utf-8"))
    assert "__getattr__" not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") != "")
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == asr._HOMES.keys()


def test_a_text_is_aligned_as_the_command_does(asr_command, tmp_path):
    text = "He honours whatever he recognizes in himself."
    (tmp_path / "text.txt").write_text(text)
    outcome = asr_command("align", RECORDING, tmp_path / "text.txt", "bundle=tiny", "format=txt")
    transcript = asr.align(RECORDING, text, bundle="tiny")
    assert transcript.text == outcome.out.strip().split("\t")[-1] == text
    assert transcript.words[-1].end <= transcript.duration


def test_every_error_that_a_user_can_cause_is_public():
    found = [asr.AsrError]
    for one in found:
        found += one.__subclasses__()
    ours = {one.__name__ for one in found if one.__module__.startswith("asr.")}
    assert ours >= {"AlignmentError", "OutputError", "DivergenceError"}
    assert ours <= set(asr.__all__)


def test_an_error_in_the_documentation_of_a_public_name_is_public_or_a_builtin():
    raised = set()
    for name in asr.__all__:
        value = getattr(asr, name)
        members = [value, *vars(value).values()] if inspect.isclass(value) else [value]
        for one in members:
            if section := re.search(r"\nRaises\n-+\n(.*?)(?:\n\n\w+\n-+\n|\Z)", inspect.getdoc(one) or "", re.DOTALL):
                raised |= set(re.findall(r"\b\w+(?:Error|Exception)\b", section[1]))
    assert {"AlignmentError", "AudioError", "ValueError"} <= raised
    assert {one for one in raised if not hasattr(builtins, one)} <= set(asr.__all__)


def test_a_text_of_another_recording_is_an_alignment_error():
    with pytest.raises(asr.AlignmentError, match="too long"):
        asr.align(RECORDING, "one two three " * 100, bundle="tiny")


def test_a_recording_that_cannot_be_read_is_raised(tmp_path):
    for function in (asr.transcribe, lambda path: asr.align(path, "text")):
        with pytest.raises(asr.AudioError, match=r"none\.wav"):
            function(tmp_path / "none.wav")
