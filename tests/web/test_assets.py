"""Static files: which form a browser gets, how long it keeps it, and that no address gives other bytes than it names."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urljoin

import brotli
import pytest
from flask import Flask
from flask.testing import FlaskClient

import build_assets
from dashboard import create_app, paths
from dashboard.config import Settings
from dashboard.web import assets

YEAR = "public, max-age=31536000, immutable"
MINUTES = "public, max-age=300"
CSS = "css/app.css"
DECODED: dict[str | None, Callable[[bytes], bytes]] = {
    "br": brotli.decompress,
    "gzip": gzip.decompress,
    None: lambda body: body,
}
FORMS = [("br", "br"), ("gzip", "gzip"), ("", None)]


def source(name: str) -> bytes:
    return (paths.STATIC / name).read_bytes()


def address_of(app: Flask, name: str) -> str:
    """Where pages find the file."""
    with app.test_request_context():
        return assets.static_url(name)


# Forms ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "form"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br", "br"),
        ("br;q=0.5, gzip", "gzip"),
        ("br;q=0, gzip;q=0.1", "gzip"),
        ("*", "br"),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("deflate, zstd", None),
        ("br;q=0, *;q=0", None),
        ("", None),
        (None, None),
    ],
)
def test_a_browser_gets_the_smallest_form_that_it_takes(
    client: FlaskClient, accepted: str | None, form: str | None
) -> None:
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    answer = client.get(f"/static/{CSS}", headers=headers)
    assert answer.status_code == HTTPStatus.OK
    assert answer.headers.get("Content-Encoding") == form
    assert answer.headers.getlist("Vary") == ["Accept-Encoding"]
    assert answer.content_type == "text/css; charset=utf-8"
    assert answer.content_length == len(answer.data)
    assert DECODED[form](answer.data) == source(CSS)


def test_forms_are_smaller_and_have_tags_of_their_own(client: FlaskClient) -> None:
    answers = [client.get(f"/static/{CSS}", headers={"Accept-Encoding": accepted}) for accepted, _ in FORMS]
    sizes = [answer.content_length or 0 for answer in answers]
    assert sizes == sorted(set(sizes))
    assert len({answer.headers["ETag"] for answer in answers}) == len(FORMS)


def test_a_font_has_one_form(client: FlaskClient) -> None:
    name = "vendor/inter-latin-wght-normal.woff2"
    answer = client.get(f"/static/{name}", headers={"Accept-Encoding": "br, gzip"})
    assert (answer.content_type, answer.data) == ("font/woff2", source(name))
    assert not {"Vary", "Content-Encoding"} & set(answer.headers.keys())


@pytest.mark.parametrize(("accepted", "form"), FORMS)
def test_a_form_that_is_kept_is_not_sent_again(client: FlaskClient, accepted: str, form: str | None) -> None:
    taken = {"Accept-Encoding": accepted}
    tag = client.get(f"/static/{CSS}", headers=taken).headers["ETag"]
    again = client.get(f"/static/{CSS}", headers=taken | {"If-None-Match": tag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (HTTPStatus.NOT_MODIFIED, b"", tag)
    assert again.headers["Cache-Control"] == MINUTES
    assert again.vary.to_header() == "Accept-Encoding"
    other = client.get(
        f"/static/{CSS}", headers={"Accept-Encoding": "gzip" if form == "br" else "br", "If-None-Match": tag}
    )
    assert other.status_code == HTTPStatus.OK


@pytest.mark.parametrize(("accepted", "form"), FORMS)
def test_head_tells_what_get_would_send(client: FlaskClient, accepted: str, form: str | None) -> None:
    told, sent = (
        method(f"/static/{CSS}", headers={"Accept-Encoding": accepted}) for method in (client.head, client.get)
    )
    ignored = ("X-Request-ID", "Date")
    first, second = ({k: v for k, v in answer.headers if k not in ignored} for answer in (told, sent))
    assert first == second
    assert told.data == b""


@pytest.mark.parametrize(("accepted", "form"), FORMS)
def test_a_range_is_of_the_form_that_was_asked_for(client: FlaskClient, accepted: str, form: str | None) -> None:
    taken = {"Accept-Encoding": accepted}
    whole = client.get(f"/static/{CSS}", headers=taken)
    part = client.get(f"/static/{CSS}", headers=taken | {"Range": "bytes=100-199"})
    assert (part.status_code, part.data) == (HTTPStatus.PARTIAL_CONTENT, whole.data[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole.data)}"
    assert part.headers.get("Content-Encoding") == form
    assert part.headers["ETag"] == whole.headers["ETag"]


def test_a_range_of_another_form_or_beyond_the_end_is_not_given(client: FlaskClient) -> None:
    tag = client.get(f"/static/{CSS}", headers={"Accept-Encoding": "gzip"}).headers["ETag"]
    asked = {"Range": "bytes=100-199", "Accept-Encoding": "br"}
    assert client.get(f"/static/{CSS}", headers=asked | {"If-Range": tag}).status_code == HTTPStatus.OK
    beyond = client.get(f"/static/{CSS}", headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    assert beyond.headers["Content-Range"] == f"bytes */{len(source(CSS))}"
    assert beyond.headers["Cache-Control"] == "no-store"


# Addresses -----------------------------------------------------------------------------------------------------------


def test_files_are_kept_for_a_year_under_their_fingerprint(client: FlaskClient) -> None:
    page = client.get("/sign-in").text
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert any(address.endswith(CSS) for address in addresses)
    for address in addresses:
        answer = client.get(address)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (HTTPStatus.OK, YEAR)


def test_what_a_stylesheet_refers_to_is_kept_for_a_year_too(client: FlaskClient) -> None:
    address = address_of(client.application, CSS)
    references = re.findall(r'url\("?(\.\.[^")]+)', source(CSS).decode())
    assert references
    for reference in references:
        answer = client.get(urljoin(address, reference))
        assert (answer.status_code, answer.headers["Cache-Control"]) == (HTTPStatus.OK, YEAR)


@pytest.mark.parametrize("name", ["onboarding-client.js", "example/checklist.html", CSS])
def test_files_have_an_address_that_stays_and_is_asked_for_again_soon(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/static/{name}")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (HTTPStatus.OK, MINUTES)


def test_under_the_fingerprint_of_another_version_the_file_is_sent_and_not_kept(client: FlaskClient) -> None:
    answer = client.get(f"/static/0123456789abcdef/{CSS}")
    assert (answer.status_code, answer.data) == (HTTPStatus.OK, source(CSS))
    assert answer.headers["Cache-Control"] == "no-cache"


def test_what_is_not_there_is_not_found_and_not_kept(client: FlaskClient) -> None:
    for name in ("css/none.css", "css", "compressed/css/app.css.br", "compressed/.made-from"):
        for address in (address_of(client.application, name), f"/static/{name}"):
            answer = client.get(address)
            assert (answer.status_code, answer.headers["Cache-Control"]) == (HTTPStatus.NOT_FOUND, "no-store")


def test_nothing_outside_the_static_folder_is_served(client: FlaskClient) -> None:
    outside = ("../../pyproject.toml", "..%2f..%2fpyproject.toml", "/etc/passwd", "css/../../pyproject.toml")
    for address in (f"/static/{under}{path}" for path in outside for under in ("", "x/", "0123456789abcdef/")):
        assert client.get(address).status_code in {308, 404}


# Changes -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the static folder, which apps that start from now on serve."""
    copy = tmp_path / "static"
    shutil.copytree(paths.STATIC, copy)
    monkeypatch.setattr(paths, "STATIC", copy)
    return copy


Start = Callable[[], Flask]


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    """Starts an app, which reads the static folder as it is then."""
    made: list[Flask] = []

    def started() -> Flask:
        made.append(create_app(settings))
        return made[-1]

    yield started
    for app in made:
        app.extensions["database"].dispose()


def test_a_file_that_changed_has_another_address(folder: Path, start: Start) -> None:
    before, same = start(), start()
    (folder / CSS).write_text("body { color: red }")
    after = start()
    old, new = address_of(before, CSS), address_of(after, CSS)
    assert old == address_of(same, CSS) != new
    taken = {"Accept-Encoding": "br, gzip"}
    answer = after.test_client().get(new, headers=taken)
    assert (answer.data, answer.headers["Cache-Control"]) == (b"body { color: red }", YEAR)
    # while both versions run, a page of one may ask the other
    for app, address in ((after, old), (before, new)):
        assert app.test_client().get(address, headers=taken).headers["Cache-Control"] == "no-cache"


def test_an_address_gives_what_it_names_whatever_becomes_of_the_file(folder: Path, start: Start) -> None:
    app = start()
    (folder / CSS).write_text("body { color: red }")
    answer = app.test_client().get(address_of(app, CSS))
    assert (answer.data.startswith(b"/* The dashboard"), answer.headers["Cache-Control"]) == (True, YEAR)


def test_a_form_made_from_other_bytes_is_not_sent(folder: Path, start: Start) -> None:
    (folder / CSS).write_text("body { color: red }")
    files = assets.read(folder)
    assert set(files[CSS].bodies) == {"identity"}
    assert set(files["js/app.js"].bodies) == {"br", "gzip", "identity"}


def test_in_debug_files_are_looked_at_again(folder: Path, start: Start) -> None:
    app = start()
    app.debug = True
    address = address_of(app, CSS)
    (folder / CSS).write_text("body { color: red }")
    answer = app.test_client().get(address)
    assert (answer.data, answer.headers["Cache-Control"]) == (b"body { color: red }", "no-cache")


def test_the_fingerprint_changes_with_any_file_and_with_no_form_of_it(tmp_path: Path) -> None:
    def fingerprint() -> str:
        return assets.fingerprint(assets.read(tmp_path))

    (tmp_path / "a.css").write_text("a")
    first = fingerprint()
    build_assets.compress(build_root(tmp_path))
    assert fingerprint() == first
    (tmp_path / "a.css").write_text("b")
    second = fingerprint()
    (tmp_path / "a.css").rename(tmp_path / "b.css")
    assert len({first, second, fingerprint()}) == 3


def test_starting_without_the_assets_says_what_to_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "VENDOR", tmp_path)
    with pytest.raises(assets.MissingAssetsError, match=r"htmx\.min\.js.*python build_assets\.py"):
        create_app(settings)


# The build -----------------------------------------------------------------------------------------------------------


def build_root(static: Path) -> Path:
    """A folder in which the build finds `static` as its own."""
    root = static.with_name(f"{static.name}-root")
    root.mkdir()
    (root / "static").symlink_to(static)
    return root


def test_the_build_compresses_each_file_once_and_what_changed_again(tmp_path: Path) -> None:
    static = tmp_path / "s"
    (static / "css").mkdir(parents=True)
    (static / "css/a.css").write_text("a { color: red }\n" * 100)
    (static / "font.woff2").write_bytes(b"font")
    root = build_root(static)
    build_assets.compress(root)
    made = {path.relative_to(static).as_posix() for path in (static / "compressed").rglob("*") if path.is_file()}
    assert made == {"compressed/.made-from", "compressed/css/a.css.br", "compressed/css/a.css.gz"}

    stamp = static / "compressed/.made-from"
    written = stamp.stat().st_mtime_ns
    build_assets.compress(root)
    assert stamp.stat().st_mtime_ns == written

    (static / "css/a.css").write_text("b")
    assert not build_assets.is_compressed(root)
    build_assets.compress(root)
    assert brotli.decompress(assets.read(static)["css/a.css"].bodies["br"]) == b"b"


def test_the_build_holds_what_is_on_its_list_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def node(work: Path, program: str, *arguments: str) -> None:
        for source in build_assets.FILES if program == "npm" else ():
            file = work / "node_modules" / source
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        if program == "node":
            (work / "purged").mkdir()
            (work / "purged/tabler.min.css").write_text((work / "kept.txt").read_text())

    monkeypatch.setattr(build_assets, "node", node)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        (tmp_path / name).touch()
    vendor = tmp_path / "static/vendor"

    def built() -> set[str]:
        build_assets.build(tmp_path)
        return {path.name for path in vendor.iterdir()}

    assert built() == {build_assets.STAMP, *build_assets.FILES.values()}
    assert "btn-primary" in (vendor / "tabler.min.css").read_text()
    monkeypatch.setattr(build_assets, "KEPT_OF_TABLER", "card")
    built()
    assert (vendor / "tabler.min.css").read_text() == "card"
    monkeypatch.setattr(build_assets, "FILES", {build_assets.TABLER: "tabler.min.css"})
    assert built() == {build_assets.STAMP, "tabler.min.css"}
    # as a build left it that removed nothing
    (vendor / "old.js").touch()
    assert not build_assets.is_current(tmp_path)
    assert built() == {build_assets.STAMP, "tabler.min.css"}


def test_what_is_served_here_is_compressed() -> None:
    files = assets.read(paths.STATIC)
    text = {name: file for name, file in files.items() if Path(name).suffix in build_assets.COMPRESSIBLE}
    plain = [name for name, file in text.items() if len(file.bodies) != 3]
    assert not plain, f"made from other files, or not at all: run `python build_assets.py`: {plain}"
    for name, file in text.items():
        for form in ("br", "gzip"):
            assert DECODED[form](file.bodies[form]) == file.bodies["identity"], name
