"""Finds a Chromium for the browser tests; `python tests/browser/chromium.py` also gets one where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

# The headless shell first: it draws the same pages in less than half the time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_GET_ONE = (
    "There is no Chromium for the browser tests. Run `python tests/browser/chromium.py` (as root on Debian it installs "
    "one), or `playwright install chromium`, or set CHROMIUM_PATH to one."
)


def find() -> str | None:
    """The path of a Chromium: CHROMIUM_PATH, Playwright's own, then the machine's. Raises when CHROMIUM_PATH is wrong."""
    if given := os.environ.get("CHROMIUM_PATH"):
        if not shutil.which(given):
            raise FileNotFoundError(f"CHROMIUM_PATH {given} is not a program")
        return given
    return _playwrights_own() or next(filter(None, map(shutil.which, NAMES)), None)


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


def get() -> str | None:
    """Installs one: Debian's package as root, else Playwright's download; the path found afterwards."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-qy", "--no-install-recommends", "chromium-headless-shell"],
            ["apt-get", "install", "-qy", "--no-install-recommends", "chromium"],
        ):
            subprocess.run(command, env=quiet, stdin=subprocess.DEVNULL, check=False)
            if found := find():
                return found
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], stdin=subprocess.DEVNULL, check=False)
    return find()


if __name__ == "__main__":
    found = find() or get()
    if found is None:
        sys.exit(HOW_TO_GET_ONE)
    print(found)
