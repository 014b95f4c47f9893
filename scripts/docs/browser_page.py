"""The page that recognises speech in the browser, for the documentation site; and the same for any bundle.

As a Sphinx extension it writes the page into `try/` of the finished site. As a program it writes it anywhere:

    python scripts/docs/browser_page.py build/page tiny
    python -m http.server --directory build/page

ONNX Runtime Web comes from npm, or from the folder or file that ASR_WEB_RUNTIME names. Without either the site has a
page that says so, unless `browser_page_required` (-D browser_page_required=1) is set: a site that is published sets it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.browser.site import Site, write_site
from asr.bundle import load_bundle
from asr.errors import AsrError, ConfigError

if TYPE_CHECKING:  # the program needs no Sphinx
    from sphinx.application import Sphinx

FOLDER = "try"
ABOUT = "../browser.html"
SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"
_MOST_SAMPLES = 4
_ABSENT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Not in this build</title>
<p>This build of the site has no ONNX Runtime Web, so it has no page that recognises speech.
<a href="{about}">How to make it</a></p>
</html>
"""


def make_page(folder: Path, bundles: Sequence[str], *, about: str = "") -> Site:
    """Write the page for some bundles, with samples of the repository; errors as of `write_site`."""
    samples = sorted(SAMPLES.glob("*.opus"))[:_MOST_SAMPLES]
    return write_site([load_bundle(name) for name in bundles], folder, samples=samples, about=about, overwrite=True)


def add_page(app: Sphinx, error: Exception | None) -> None:
    """Write the page into the finished site."""
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / FOLDER
    try:
        make_page(folder, app.config.browser_page_bundles, about=ABOUT)
    except ConfigError as problem:
        if app.config.browser_page_required:
            raise
        print(f"no page in the browser: {problem}", file=sys.stderr)
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text(_ABSENT.format(about=ABOUT), "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_config_value("browser_page_bundles", ["en", "tiny"], "")
    app.add_config_value("browser_page_required", False, "")
    app.connect("build-finished", add_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def main() -> int:
    """Write the page, and print what a visitor loads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("bundles", nargs="+", help="names or paths; the first one is loaded when the page is opened")
    arguments = parser.parse_args()
    try:
        site = make_page(arguments.folder, arguments.bundles)
    except AsrError as error:
        print(f"browser_page.py: error: {error}", file=sys.stderr)
        return 2
    models = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in site.models.items())
    print(f"{site.path}: {site.bytes / 1e6:.1f} MB to begin with ({models})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
