"""Where templates, static files and migrations are: beside the package in a checkout, inside it in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_HOME = _PACKAGE if (_PACKAGE / "templates").is_dir() else _PACKAGE.parent

TEMPLATES = _HOME / "templates"
STATIC = _HOME / "static"
VENDOR = STATIC / "vendor"
MIGRATIONS = _HOME / "migrations"
STAMP = ".made-from"
"""In a folder that the build fills: what it was filled from."""

VENDOR_FILES = ("htmx.min.js", "tabler.min.css", "charts.min.css", "inter-latin-wght-normal.woff2")


def missing_assets() -> list[str]:
    """Names of third-party front-end files that are not in place; the build puts them there."""
    return [name for name in VENDOR_FILES if not (VENDOR / name).is_file()]
