"""Light, dark, or the system's choice: kept in a cookie, so that it works without JavaScript."""

from flask import Blueprint, abort, redirect, request
from flask.typing import ResponseReturnValue

from dashboard.web import access, cookies
from dashboard.web.rendering import local_address

THEMES = ("light", "dark", "system")
COOKIE = "theme"
YEAR_S = 31_536_000

blueprint = Blueprint("theme", __name__)


def chosen() -> str:
    """The theme of this browser."""
    theme = request.cookies.get(COOKIE, "")
    return theme if theme in THEMES else "system"


@blueprint.post("/theme")
@access.public("sets a cookie of the browser it comes from")
def choose() -> ResponseReturnValue:
    """Remembers the choice and goes back to the page."""
    theme = request.form.get("theme", "")
    if theme not in THEMES:
        access.find_staff()
        abort(422)
    response = redirect(local_address(request.form.get("next")), 303)
    response.set_cookie(COOKIE, theme, max_age=YEAR_S, secure=cookies.is_secure(), httponly=True, samesite="Lax")
    return response
