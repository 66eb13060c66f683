"""The onboarding dashboard: change a checklist, preview the effect of a change, release it, undo it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard.app import create_app as create_app
else:

    def __getattr__(name: str) -> object:
        # imported only on use: programs that import the API client need neither Flask nor a database
        if name == "create_app":
            from dashboard.app import create_app

            return create_app
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
