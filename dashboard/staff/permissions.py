"""Who may do what, in one place: permissions, roles, the one map between them, and token scopes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any


class Permission(StrEnum):
    """Something that a route does; each route declares one."""

    VIEW = "view"
    EXPORT = "export"
    EDIT_PEOPLE = "edit_people"
    ERASE_PEOPLE = "erase_people"
    EDIT_STEPS = "edit_steps"
    RELEASE = "release"
    MANAGE_STAFF = "manage_staff"
    MANAGE_TOKENS = "manage_tokens"

    @property
    def does(self) -> str:
        """What it allows, to follow “can”."""
        return _DOES[self]


class Role(Enum):
    """What an account is for."""

    VIEWER = "viewer"
    SUPPORT = "support"
    MANAGER = "manager"
    ADMIN = "admin"

    @property
    def title(self) -> str:
        """The role's name on pages: Onboarding manager."""
        return _TITLES[self]

    @property
    def does(self) -> list[str]:
        """What it allows beyond what every role allows, each to follow “can”; for the lowest role, everything."""
        return [permission.does for permission in Permission if permission in PERMISSIONS[self] - _LOOK] or [
            permission.does for permission in Permission if permission in _LOOK
        ]


class Scope(StrEnum):
    """What an API token may be used for."""

    PROGRESS_READ = "progress:read"
    PROGRESS_WRITE = "progress:write"
    STEPS_READ = "steps:read"
    STEPS_RELEASE = "steps:release"

    @property
    def allows(self) -> str:
        """What a program may do with it, to follow “may”."""
        return _ALLOWS[self]


_DOES = {
    Permission.VIEW: "view the checklist, people and activity",
    Permission.EXPORT: "export lists",
    Permission.EDIT_PEOPLE: "change people's progress",
    Permission.ERASE_PEOPLE: "export or erase everything stored about a person",
    Permission.EDIT_STEPS: "change steps and drafts",
    Permission.RELEASE: "release steps and roll them back",
    Permission.MANAGE_STAFF: "manage staff accounts",
    Permission.MANAGE_TOKENS: "manage API tokens",
}

_ALLOWS = {
    Scope.PROGRESS_READ: "read a person's steps and progress",
    Scope.PROGRESS_WRITE: "save people's progress; add, change or erase people",
    Scope.STEPS_READ: "read the steps, their versions and releases",
    Scope.STEPS_RELEASE: "release steps and roll them back",
}

_TITLES = {
    Role.VIEWER: "Viewer",
    Role.SUPPORT: "Support agent",
    Role.MANAGER: "Onboarding manager",
    Role.ADMIN: "Administrator",
}

_LOOK = frozenset({Permission.VIEW, Permission.EXPORT})

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _LOOK,
    Role.SUPPORT: _LOOK | {Permission.EDIT_PEOPLE, Permission.ERASE_PEOPLE},
    Role.MANAGER: _LOOK | {Permission.EDIT_STEPS, Permission.RELEASE},
    Role.ADMIN: frozenset(Permission),
}
"""The one map. Each role includes all of viewer, admin includes all."""


def roles_with(permission: Permission) -> list[Role]:
    """The roles that have `permission`, lowest first."""
    return [role for role in Role if permission in PERMISSIONS[role]]


OF_A_USER = frozenset({Scope.PROGRESS_READ, Scope.PROGRESS_WRITE})
"""The scopes of a user's token, on routes that are not for backends only."""


@dataclass(frozen=True, slots=True)
class Public:
    """A route that anyone may use; `why` says what makes that safe."""

    why: str


@dataclass(frozen=True, slots=True)
class ByToken:
    """An API route: an API token with `scope` opens it and, if `of_users`, so does a user's own token."""

    scope: Scope
    of_users: bool


Need = Permission | ByToken | Public
"""What a route declares."""

_MARK = "_route_needs"


def declare(view: Callable[..., Any], need: Need) -> None:
    """Records what a view needs, for the guard test and the table in docs/permissions.md."""
    setattr(view, _MARK, need)


def declared(view: Callable[..., Any]) -> Need | None:
    """What a view, or the function inside its wrappers, declares; None: nothing."""
    found: Any = view
    while found is not None:
        if (need := getattr(found, _MARK, None)) is not None:
            return need  # type: ignore[no-any-return]
        found = getattr(found, "__wrapped__", None)
    return None
