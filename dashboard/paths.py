"""Where templates, static files and migrations are: beside the package in a checkout, inside it in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_HOME = _PACKAGE if (_PACKAGE / "templates").is_dir() else _PACKAGE.parent

TEMPLATES = _HOME / "templates"
STATIC = _HOME / "static"
VENDOR = STATIC / "vendor"
MIGRATIONS = _HOME / "migrations"
STAMP = ".made-from"
"""The file in a build's output folder that records what the build was made from."""

VENDOR_FILES = ("htmx.min.js", "tabler.min.css", "charts.min.css", "inter-latin-wght-normal.woff2")


def missing_assets() -> list[str]:
    """Names of missing third-party front-end files; the build puts them in place."""
    return [name for name in VENDOR_FILES if not (VENDOR / name).is_file()]
