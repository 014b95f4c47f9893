"""`to=web`: a folder of static files that recognises speech in the browser: the page of `asr.browser`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from asr.browser.site import write_site
from asr.bundle import Bundle, bundle_folder, shipped_bundles

_SHIPPED_LANGUAGE = "en"
"""that the bundles that ship write"""


def export_page(bundle: Bundle, folder: str | Path, *, license_name: str | None) -> list[Path]:
    """The page with one model, decoded as the bundle recommends; arguments, result and errors as of `export_bundle`."""
    shipped = bundle.path in {bundle_folder(name) for name in shipped_bundles()}
    if license_name is not None:
        bundle = replace(bundle, provenance={**bundle.provenance, "licences": license_name})
    site = write_site(bundle, folder, language=_SHIPPED_LANGUAGE if shipped else None)
    return sorted(path for path in site.path.rglob("*") if path.is_file())
