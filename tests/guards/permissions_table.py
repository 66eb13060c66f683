"""The table of docs/permissions.md as the routes declare it. `python -m tests.guards.permissions_table` rewrites it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from dashboard import create_app
from dashboard.config import Settings
from dashboard.staff.permissions import PERMISSIONS, ByToken, Need, Permission, Public, Role, roles_with
from dashboard.web.access import need_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "permissions.md"
REWRITE = "python -m tests.guards.permissions_table"
BEGIN, END = f"<!-- routes: written by `{REWRITE}` -->", "<!-- end of routes -->"
ROLES_BEGIN, ROLES_END = BEGIN.replace("routes", "roles"), END.replace("routes", "roles")


@dataclass(frozen=True, slots=True)
class Route:
    """One rule with the methods that one view answers; `need` is None when the view declares nothing."""

    rule: str
    methods: tuple[str, ...]
    endpoint: str
    need: Need | None

    @property
    def line(self) -> str:
        """The route's row in the document."""
        what, who = _told(self.need)
        return f"| `{self.rule}` | {', '.join(self.methods)} | {what} | {who} |"


def routes(app: Flask) -> list[Route]:
    """Every route of the app, by path; HEAD and OPTIONS, which Flask adds, are left out."""
    found = [
        Route(
            rule.rule,
            tuple(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})),
            rule.endpoint,
            need_of(app, rule.endpoint),
        )
        for rule in app.url_map.iter_rules()
    ]
    return sorted(found, key=lambda route: (route.rule, route.methods))


def documented() -> list[str]:
    """The rows of the route table as the document has them."""
    return [line for line in _between(DOCUMENT.read_text(), BEGIN, END) if line.startswith("| `")]


def documented_roles() -> list[str]:
    """The rows of the role table as the document has them."""
    return [line for line in _between(DOCUMENT.read_text(), ROLES_BEGIN, ROLES_END) if line.startswith("| `")]


def role_lines() -> list[str]:
    """A row for each permission: which role has it."""
    return [
        f"| `{permission}` | {permission.does} | "
        + " | ".join("yes" if permission in PERMISSIONS[role] else "" for role in Role)
        + " |"
        for permission in Permission
    ]


def bare_app() -> Flask:
    """The app without a database: enough to ask it for its routes."""
    return create_app(
        Settings(
            database_url="postgresql+psycopg://nowhere/none",
            secret_key="only to list the routes",
            demo=False,
            data_dir=Path("var"),
        )
    )


def rewrite() -> None:
    """Puts both tables into the document."""
    text = DOCUMENT.read_text()
    text = _replaced(text, BEGIN, END, ["| Route | Methods | Needs | Who |", "| --- | --- | --- | --- |", *_lines()])
    titles = " | ".join(role.title for role in Role)
    head = [f"| Permission | One can | {titles} |", "| --- | --- |" + " --- |" * len(Role)]
    DOCUMENT.write_text(_replaced(text, ROLES_BEGIN, ROLES_END, [*head, *role_lines()]))


def _lines() -> Iterator[str]:
    return (route.line for route in routes(bare_app()))


def _told(need: Need | None) -> tuple[str, str]:
    match need:
        case Permission():
            return f"`{need}`", ", ".join(role.value for role in roles_with(need))
        case ByToken():
            return f"token with `{need.scope}`", "API tokens, a user's own" if need.of_users else "API tokens"
        case Public():
            return need.why, "anyone"
        case None:
            return "**declares nothing**", "nobody"


def _between(text: str, begin: str, end: str) -> list[str]:
    return text.partition(begin)[2].partition(end)[0].splitlines()


def _replaced(text: str, begin: str, end: str, lines: list[str]) -> str:
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    return before + begin + "\n" + "\n".join(lines) + "\n" + end + after


if __name__ == "__main__":
    rewrite()
