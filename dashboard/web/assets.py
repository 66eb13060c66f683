"""Static files, read once at the start and sent from memory, in the compressed form that the browser takes.

Under one fingerprint of the whole folder browsers keep them for a year; under their names alone, for some minutes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from flask import Flask, Response, current_app, request, url_for
from werkzeug.exceptions import NotFound

from dashboard import paths
from dashboard.staff.permissions import Public, declare

YEAR_S = 31_536_000
MINUTES_S = 300
FINGERPRINT_LENGTH = 16
COMPRESSED = "compressed"
"""The folder inside the static one in which the build leaves the compressed files; they have no address of their own."""

IDENTITY = "identity"
SUFFIXES = {"br": ".br", "gzip": ".gz"}
"""By content encoding, the best one first."""

# what a machine's own table says of these differs from one to the next
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}


class MissingAssetsError(RuntimeError):
    """Third-party front-end files are not in place; the message says what to run."""


@dataclass(frozen=True, slots=True)
class File:
    """A static file as it is sent: `bodies` has its bytes by content encoding, `identity` among them, the best first."""

    mimetype: str
    digest: str
    bodies: Mapping[str, bytes]


Files = Mapping[str, File]
"""By path below the static folder, with slashes."""


def install(app: Flask) -> None:
    """Serves the static folder at /static/<fingerprint>/ and at /static/, and gives templates `static_url`."""
    missing = paths.missing_assets()
    if missing:
        raise MissingAssetsError(
            f"Front-end files are missing from {paths.VENDOR}: {', '.join(missing)}. Run `python build_assets.py`."
        )
    declare(send, Public("files that came with the program"))
    app.extensions["static_files"] = files = read(paths.STATIC)
    app.config["STATIC_FINGERPRINT"] = fingerprint(files)
    app.add_url_rule(f"/static/<string(length={FINGERPRINT_LENGTH}):version>/<path:filename>", "static", send)
    # for pages of other sites, which know no fingerprint
    app.add_url_rule("/static/<path:filename>", "static", send)
    app.jinja_env.globals["static_url"] = static_url


def read(folder: Path) -> Files:
    """Every file of the folder. A compressed form that was made from other bytes than the file's is left out."""
    packed = folder / COMPRESSED
    sources = sorted(found for found in folder.rglob("*") if found.is_file() and packed not in found.parents)
    made_from = compressed_from(folder)
    files: dict[str, File] = {}
    for source in sources:
        name = source.relative_to(folder).as_posix()
        plain = source.read_bytes()
        digest = hashlib.sha256(plain).hexdigest()
        encodings = SUFFIXES if made_from.get(name) == digest else {}
        bodies = {encoding: (packed / f"{name}{suffix}").read_bytes() for encoding, suffix in encodings.items()}
        mimetype = TYPES.get(source.suffix, "application/octet-stream")
        files[name] = File(mimetype, digest, {**bodies, IDENTITY: plain})
    return files


def compressed_from(folder: Path) -> dict[str, str]:
    """The digest of each file that the build compressed; empty where it has not."""
    stamp = folder / COMPRESSED / paths.STAMP
    return cast("dict[str, str]", json.loads(stamp.read_text())) if stamp.is_file() else {}


def fingerprint(files: Files) -> str:
    """Changes when any file does. One for all, so that relative addresses in the CSS stay right."""
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(f"{name}\0{file.digest}\n".encode())
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def static_url(filename: str) -> str:
    """Address of a file of the static folder: static_url('css/app.css')."""
    return url_for("static", version=current_app.config["STATIC_FINGERPRINT"], filename=filename)


def send(filename: str, version: str = "") -> Response:
    """A static file; kept for ever under the present fingerprint. Raises NotFound, RequestedRangeNotSatisfiable."""
    file = present().get(filename)
    if file is None:
        raise NotFound
    encoding = request.accept_encodings.best_match(file.bodies, IDENTITY)
    body = file.bodies[encoding]
    response = Response(body, mimetype=file.mimetype)
    response.headers["Cache-Control"] = cache_control(version)
    # each form is other bytes, so a part of one must never be joined to a part of another
    response.set_etag(file.digest if encoding == IDENTITY else f"{file.digest}-{encoding}")
    if encoding != IDENTITY:
        response.content_encoding = encoding
    if len(file.bodies) > 1:
        response.vary.add("Accept-Encoding")
    response.make_conditional(request, accept_ranges=True, complete_length=len(body))
    return response


def present() -> Files:
    """What was read at the start, so that no address ever gives other bytes than it names; in debug, what is there now."""
    return read(paths.STATIC) if current_app.debug else cast(Files, current_app.extensions["static_files"])


def cache_control(version: str) -> str:
    """How long browsers keep a file of that fingerprint, or of none: the value of Cache-Control."""
    if current_app.debug:
        return "no-cache"
    if not version:
        return f"public, max-age={MINUTES_S}"
    if version == current_app.config["STATIC_FINGERPRINT"]:
        return f"public, max-age={YEAR_S}, immutable"
    # during an upgrade pages of the other version ask here too: they get the file, and ask again the next time
    return "no-cache"
