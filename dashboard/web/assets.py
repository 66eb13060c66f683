"""Static files under one fingerprint of the whole folder, so that browsers keep them for a year; or under their names."""

import hashlib
from pathlib import Path

from flask import Flask, Response, current_app, send_from_directory, url_for

from dashboard import paths

YEAR_S = 31_536_000
FINGERPRINT_LENGTH = 16


class MissingAssetsError(RuntimeError):
    """Third-party front-end files are not in place; the message says what to run."""


def install(app: Flask) -> None:
    """Serves the static folder at /static/<fingerprint>/ and at /static/, and gives templates `static_url`."""
    missing = paths.missing_assets()
    if missing:
        raise MissingAssetsError(
            f"Front-end files are missing from {paths.VENDOR}: {', '.join(missing)}. Run `python build_assets.py`."
        )
    app.config["STATIC_FINGERPRINT"] = fingerprint(paths.STATIC)
    app.add_url_rule(f"/static/<string(length={FINGERPRINT_LENGTH}):version>/<path:filename>", "static", send)
    # for pages of other sites, which know no fingerprint
    app.add_url_rule("/static/<path:filename>", "static", send)
    app.jinja_env.globals["static_url"] = static_url


def fingerprint(folder: Path) -> str:
    """Changes when any file of the folder does. One for all, so that relative addresses in the CSS stay right."""
    digest = hashlib.sha256()
    for file in sorted(found for found in folder.rglob("*") if found.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def static_url(filename: str) -> str:
    """Address of a file of the static folder: static_url('css/app.css')."""
    return url_for("static", version=current_app.config["STATIC_FINGERPRINT"], filename=filename)


def send(filename: str, version: str = "") -> Response:
    """A static file; kept for ever under the present fingerprint, checked again under any other and under none."""
    response = send_from_directory(paths.STATIC, filename, conditional=True, max_age=0)
    if version == current_app.config["STATIC_FINGERPRINT"] and not current_app.debug:
        response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
    else:
        # during an upgrade pages of the old version still ask for files under the old fingerprint
        response.headers["Cache-Control"] = "no-cache"
    return response
