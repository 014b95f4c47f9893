"""Sphinx configuration of the documentation site.

    pip install -e '.[docs]'
    sphinx-build -W --keep-going docs build/docs

Pages about settings, public names and imports are generated during the build, by the extensions in scripts/docs.
"""

import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "scripts" / "docs")]

project = "asr"
author = "the asr authors"
version = release = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["version"]
project_copyright = f"2026, {author}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "browser_page",
    "fault_table",
    "import_graph",
    "notebook",
    "public_names",
    "settings_reference",
    "sample_report",
]
exclude_patterns = ["sample-report"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

# A name in single backticks in a docstring is a link if it is public, else a literal.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_default_options = {"undoc-members": True}
autodoc_typehints = "signature"
autodoc_type_aliases = {name: name for name in ("Frames", "LogProbs", "Samples")}
napoleon_google_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 80

html_theme = "furo"
html_title = "asr"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
