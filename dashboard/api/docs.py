"""/api/docs: how to use the API, for people. The reference is rendered once; only the frame depends on the reader."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from flask import Flask, Response, current_app, make_response, render_template
from flask_openapi.blueprint import APIBlueprint
from markupsafe import Markup

from dashboard.api.batch import Batch
from dashboard.api.openapi import ADDRESS, PAGE, describe
from dashboard.api.reading import MAX_BODY_BYTES
from dashboard.api.reference import refer
from dashboard.staff.permissions import Public, declare
from dashboard.web.access import base_url

JSON_PARTS = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<other>-?\d[\d.]*|true|false|null)'
)
CHAPTERS = (
    ("start", "Start"),
    ("authentication", "Authentication"),
    ("saving", "Saving safely"),
    ("limits", "Limits and headers"),
    ("errors", "Errors"),
)
"""The sections before the endpoints: anchor and title."""


def serve_page(app: Flask, blueprints: Sequence[APIBlueprint]) -> None:
    """Serves the page about the blueprints."""

    def docs() -> Response:
        kept = current_app.extensions.setdefault("api_docs", {})
        if not kept:
            reference = refer(describe(tuple(blueprints)))
            body = render_template(
                "api/_reference.html",
                reference=reference,
                limit=MAX_BODY_BYTES // 1024,
                batch_limit=Batch.max_bytes // 1024,
            )
            kept.update(reference=reference, body=Markup(body))  # noqa: S704 - a template's own output
        frame = {"chapters": CHAPTERS, "openapi": ADDRESS, "origin": base_url()}
        return make_response(render_template("api/docs.html", **kept, **frame))

    app.jinja_env.filters.update(coloured=coloured, words=words)
    declare(docs, Public("tells how to use the API, and holds no data"))
    app.add_url_rule(PAGE, view_func=docs, endpoint="docs")


def coloured(source: str) -> Markup:
    """JSON with a class on each key, text and other value."""
    parts: list[str] = []
    end = 0
    for found in JSON_PARTS.finditer(source):
        parts += [
            _content(source[end : found.start()]),
            Markup('<span class="{}">{}</span>').format(found.lastgroup, _content(found[0])),
        ]
        end = found.end()
    return Markup("").join([*parts, _content(source[end:])])


def _content(text: str) -> Markup:
    """Text content of an element, with quotes unescaped: thousands of entities make a page heavy."""
    return Markup(html.escape(text, quote=False))  # noqa: S704 - just escaped


def words(text: str) -> Markup:
    """A sentence of the description, with text in backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(_content(part)) if number % 2 else _content(part)
        for number, part in enumerate(parts)
    )
