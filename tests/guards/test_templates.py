"""Conventions of the templates: each compiles, nothing inline, each partial has one root with its name."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask

from dashboard import paths

TEMPLATES = sorted(paths.TEMPLATES.rglob("*.html"))
PARTIALS = [path for path in TEMPLATES if path.name.startswith("_")]
VOID = {"br", "hr", "img", "input", "link", "meta", "col", "source", "wbr", "area", "base", "embed", "track"}
INLINE = {
    "a style attribute": re.compile(r"<[a-z][^>]*\sstyle\s*=", re.IGNORECASE),
    "a style element": re.compile(r"<style\b", re.IGNORECASE),
    "an inline script": re.compile(r"<script\b(?![^>]*\ssrc=)", re.IGNORECASE),
    "an event handler": re.compile(r"<[a-z][^>]*\son[a-z]+\s*=", re.IGNORECASE),
    "hx-on": re.compile(r"\shx-on[:-]", re.IGNORECASE),
    "js: or javascript:": re.compile(r"""=\s*["']\s*(js|javascript):""", re.IGNORECASE),
    "a filter that needs eval": re.compile(r"""hx-trigger[^=]*=\s*["'][^"']*\[""", re.IGNORECASE),
    "a data: address": re.compile(r"""(src|href)\s*=\s*["']data:""", re.IGNORECASE),
    "an address of another site": re.compile(r"""(src|href)\s*=\s*["'](https?:)?//""", re.IGNORECASE),
    "text marked as safe": re.compile(r"\|\s*safe\b"),
    "a class of Tabler with a data: image": re.compile(r"\b(form-select|form-check-input|btn-close|table-sort)\b"),
}


def name_of(path: Path) -> str:
    return path.relative_to(paths.TEMPLATES).as_posix()


def without_comments(path: Path) -> str:
    return re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_it_compiles(app: Flask, path: Path) -> None:
    app.jinja_env.get_template(name_of(path))


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_nothing_is_inline(path: Path) -> None:
    source = without_comments(path)
    assert [kind for kind, pattern in INLINE.items() if pattern.search(source)] == []


STYLES = [path.read_text() for folder in ("css", "vendor") for path in (paths.STATIC / folder).glob("*.css")]
# of a script what it looks for by class: the rest of it is full of members of objects
SOUGHT = [text for path in (paths.STATIC / "js").glob("*.js") for text in re.findall(r'"[^"\n]*"', path.read_text())]
RULED = set(re.findall(r"\.([a-z][\w-]*)", "".join(STYLES + SOUGHT)))


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_each_class_has_a_rule(path: Path) -> None:
    """Of Tabler only what build_assets.py names is there."""
    # what is put together is skipped
    fixed = re.sub(r"\{\{.*?\}\}", "?", re.sub(r"\{%.*?%\}", " ", without_comments(path)), flags=re.DOTALL)
    classes = {one for found in re.findall(r'\bclass="([^"]*)"', fixed) for one in found.split() if "?" not in one}
    assert classes - RULED == set()


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_each_form_that_posts_has_a_csrf_field(path: Path) -> None:
    for form in re.findall(r"<form\b[^>]*\bmethod=.post.*?</form>", without_comments(path), re.DOTALL | re.IGNORECASE):
        assert "csrf()" in form


@pytest.mark.parametrize("path", PARTIALS, ids=name_of)
def test_a_partial_has_one_root_with_its_name(path: Path) -> None:
    roots = _Roots()
    roots.feed(_markup_only(without_comments(path)))
    assert len(roots.found) == 1, f"roots: {roots.found}"
    noun = path.stem.removeprefix("_").replace("_", "-")
    attributes = roots.found[0]
    named = attributes.get("id") or ""
    assert named == noun or named.startswith(f"{noun}-") or "data-testid" in attributes


def test_there_is_something_to_guard() -> None:
    assert len(TEMPLATES) > 5
    assert PARTIALS


def _markup_only(source: str) -> str:
    """Jinja taken out; a call of a macro at the top stands for its one element."""
    source = re.sub(
        r"\{%-?\s*call\s+(?:ui|forms|charts)\.(?:panel|card|figures|note_box)\(.*?%\}",
        "<div data-testid=x>",
        source,
        flags=re.DOTALL,
    )
    source = re.sub(r"\{%-?\s*call\b.*?%\}", "<span>", source, flags=re.DOTALL)
    calls = re.findall(r"<div data-testid=x>|<span>|\{%-?\s*endcall\s*-?%\}", source)
    open_tags: list[str] = []
    for call in calls:
        if "endcall" in call:
            source = re.sub(r"\{%-?\s*endcall\s*-?%\}", f"</{open_tags.pop()}>", source, count=1)
        else:
            open_tags.append("div" if call.startswith("<div") else "span")
    return re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", source, flags=re.DOTALL)


class _Roots(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.depth == 0:
            self.found.append(dict(attrs))
        if tag not in VOID:
            self.depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self.depth -= 1
