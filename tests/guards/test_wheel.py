"""Whoever installs the wheel needs no Node and no checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from dashboard.paths import VENDOR_FILES

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_templates_static_files_and_migrations(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"dashboard/static/vendor/{name}" for name in VENDOR_FILES} | {"dashboard/py.typed"}
    expected |= {"dashboard/staff/common_passwords.txt"}
    for folder in ("templates", "static", "migrations"):
        found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc")
        expected |= {f"dashboard/{path.relative_to(ROOT)}" for path in found}
    assert expected <= names
    assert not [name for name in names if name.startswith(("tests/", "var/"))]


def test_lock_files_name_no_package_host() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "package-lock.json"):
        lines = (ROOT / name).read_text().splitlines()
        # package-lock.json has links to sponsors' pages; only "resolved" says where a package came from
        assert not [line for line in lines if "index-url" in line or "--find-links" in line or '"resolved"' in line]
        assert name == "package-lock.json" or not [line for line in lines if "://" in line]
