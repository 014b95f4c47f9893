"""`asr export`."""

from __future__ import annotations

from collections.abc import Sequence

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.cli.console import quiet_native_libraries
from asr.errors import ConfigError
from asr.files import typed_path
from asr.settings.commands import ExportConfig

USAGE = "asr export bundle=BUNDLE to=TARGET [output_dir=FOLDER]"
TEXT = """
Exports the model of a bundle for other programs. The folder has the model in float32 and, for most targets, with
integer weights; its card (features, symbols, licence); and a README with Python that runs it without asr. For to=web it
is a page that recognises speech in the browser, with the language model.
"""
CHOICES = (
    ("onnx", "whole utterances, by ONNX Runtime on any machine and in browsers"),
    ("onnx_stream", "a causal model block by block, with its state as inputs and outputs"),
    ("litert", "fixed shapes for LiteRT (TensorFlow Lite) on phones and boards"),
    ("saved_model", "a SavedModel for TensorFlow and TensorFlow Serving"),
    ("web", "a page for any host of static files, whose visitors transcribe in their browsers"),
)
EXAMPLES = """\
  asr export bundle=tiny to=onnx
  asr export bundle=runs/live/best to=onnx_stream output_dir=live
  asr export bundle=tiny to=litert shapes.window_seconds=5
  asr export bundle=en to=web output_dir=page
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: ExportConfig | None = settings_or_answer(
        "export", split, usage=USAGE, text=TEXT, examples=EXAMPLES, choices=CHOICES, files_required=False
    )
    if settings is None:
        return 0
    if split.files:
        raise ConfigError(f"asr export takes no files: name the bundle by bundle={split.files[0]}")
    from asr.bundle import load_bundle
    from asr.export import check_export_output, export_bundle

    bundle = load_bundle(settings.bundle)
    folder = typed_path(settings.output_dir or f"{bundle.name}-{settings.to}")
    check_export_output(folder, to=settings.to)
    with quiet_native_libraries():
        files = export_bundle(bundle, folder, to=settings.to, shapes=settings.shapes, license_name=settings.license)
    for path in files:
        print(f"{path}  {path.stat().st_size:,} bytes")
    return 0
