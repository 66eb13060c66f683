"""Static files, read once at start-up and sent from memory, in a compressed form that the browser accepts.

Browsers keep them for a year under the fingerprint of the whole folder, and for some minutes under the bare name.
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
"""The subfolder where the build puts the compressed files; they have no addresses of their own."""

IDENTITY = "identity"
SUFFIXES = {"br": ".br", "gzip": ".gz"}
"""By content encoding, best first."""

# the operating system's own table differs between machines
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}


class MissingAssetsError(RuntimeError):
    """Third-party front-end files are missing; the message says what to run."""


@dataclass(frozen=True, slots=True)
class File:
    """A static file as it is sent: `bodies` holds its bytes by content encoding, best first, including `identity`."""

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
    # for pages of other sites, which do not know the fingerprint
    app.add_url_rule("/static/<path:filename>", "static", send)
    app.jinja_env.globals["static_url"] = static_url


def read(folder: Path) -> Files:
    """Every file of the folder. Compressed forms that were made from other bytes are left out."""
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
    """The digest of each file that the build compressed; empty if it compressed none."""
    stamp = folder / COMPRESSED / paths.STAMP
    return cast("dict[str, str]", json.loads(stamp.read_text())) if stamp.is_file() else {}


def fingerprint(files: Files) -> str:
    """Changes when any file does. One for all files, so that relative addresses in the CSS stay right."""
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(f"{name}\0{file.digest}\n".encode())
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def static_url(filename: str) -> str:
    """The address of a file in the static folder: static_url('css/app.css')."""
    return url_for("static", version=current_app.config["STATIC_FINGERPRINT"], filename=filename)


def send(filename: str, version: str = "") -> Response:
    """A static file; cached for good under the current fingerprint. Raises NotFound, RequestedRangeNotSatisfiable."""
    file = present().get(filename)
    if file is None:
        raise NotFound
    encoding = request.accept_encodings.best_match(file.bodies, IDENTITY)
    body = file.bodies[encoding]
    response = Response(body, mimetype=file.mimetype)
    response.headers["Cache-Control"] = cache_control(version)
    # each encoding has other bytes, so ranges of two of them must never be joined
    response.set_etag(file.digest if encoding == IDENTITY else f"{file.digest}-{encoding}")
    if encoding != IDENTITY:
        response.content_encoding = encoding
    if len(file.bodies) > 1:
        response.vary.add("Accept-Encoding")
    response.make_conditional(request, accept_ranges=True, complete_length=len(body))
    return response


def present() -> Files:
    """The files as read at start-up, so that an address always gives the bytes it names; in debug, as they are now."""
    return read(paths.STATIC) if current_app.debug else cast(Files, current_app.extensions["static_files"])


def cache_control(version: str) -> str:
    """The Cache-Control value for a file requested under this fingerprint, or under none."""
    if current_app.debug:
        return "no-cache"
    if not version:
        return f"public, max-age={MINUTES_S}"
    if version == current_app.config["STATIC_FINGERPRINT"]:
        return f"public, max-age={YEAR_S}, immutable"
    # during an upgrade, pages of the other version ask here too: they get the file, and ask again the next time
    return "no-cache"
