"""Exports of a bundle's model to other programs: a table of `targets`; `export_folder` writes what they build."""

from asr.export.export_folder import check_export_output as check_export_output
from asr.export.export_folder import export_bundle as export_bundle
