"""The one way in which an endpoint is declared: its address, its scope, what it answers and what it may refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from inspect import getdoc
from typing import Any, get_type_hints

from flask import Response
from pydantic import BaseModel
from werkzeug.exceptions import HTTPException

from dashboard.api.access import Bearer, admit, authorise, remembered
from dashboard.api.messages import NoQuery
from dashboard.api.openapi import responses, security, takes
from dashboard.api.problems import Problem
from dashboard.api.reading import PARTS, read
from dashboard.database import Alone, Session, alone, statements, transaction
from dashboard.onboarding.errors import OnboardingError
from dashboard.staff.permissions import OF_A_USER, ByToken, Scope, declare

View = Callable[..., Response]
Register = Callable[..., Any]


def endpoint(
    register: Register,
    rule: str,
    scope: Scope,
    answers: type[BaseModel],
    refuses: Mapping[int, type[Problem]],
    *,
    tagged: bool = False,
    creates: bool = False,
    backend_only: bool = False,
    first: Callable[..., Response | None] | None = None,
    looks: bool = False,
) -> Callable[[View], View]:
    """Serves the view to tokens with `scope`, but not to those of users where it is `backend_only`.

    `register` is `get`, `patch` ... of a blueprint. The view is given what it has an argument for: the caller; the
    session, whose transaction ends with the view; path, query, header and body of the request. `first` is tried before
    it, with the same arguments: what it does in one statement needs no transaction, and None leaves it to the view. Nor
    has a `get` one. What `looks` finds nothing for a token that holds no more, so that one seen lately is not looked up
    before it. The rest is for the description: `tagged` answers have an ETag, `creates` may answer 201.
    """

    def decorate(view: View) -> View:
        arguments = get_type_hints(view)
        wanted = {name: model for name, model in arguments.items() if name in PARTS}
        single = view if register.__name__ == "get" else first
        if register.__name__ != "get":
            wanted.setdefault("query", NoQuery)

        def given(session: Session | Alone, found: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in {"session": session, **found}.items() if name in arguments}

        def at_once(bearer: Bearer, path: Mapping[str, str]) -> Response | None:
            # whatever is refused is so only once the token was looked up
            with suppress(HTTPException, OnboardingError):
                if single and (caller := remembered(bearer, scope, backend_only=backend_only)):
                    found = {"caller": caller, **read(wanted, path, caller.whom)}
                    with alone() as asked:
                        return single(**given(asked, found))
            return None

        @wraps(view)
        def guarded(**path: str) -> Response:
            bearer = admit()
            answer = at_once(bearer, path) if looks else None
            if answer is not None:
                return answer
            with statements() as session:
                caller = authorise(session, bearer, scope, backend_only=backend_only)
                found = {"caller": caller, **read(wanted, path, caller.whom)}
                answer = single(**given(session, found)) if single else None
            if answer is not None:
                return answer
            with transaction() as session:
                return view(**given(session, found))

        declare(guarded, ByToken(scope, scope in OF_A_USER and not backend_only))
        # flask-openapi takes this for the view as it is: its own reading takes broken JSON for an empty body.
        guarded.view = guarded  # type: ignore[attr-defined]
        told = " ".join((getdoc(view) or "").partition("\n\n")[2].split())
        described = responses(answers, refuses, body=wanted.get("body"), tagged=tagged, creates=creates)
        register(
            rule,
            operation_id=view.__name__,
            description=f"{told} {takes(scope, backend_only=backend_only)}".strip(),
            security=security(scope, backend_only=backend_only),
            responses=described,
        )(guarded)
        return guarded

    return decorate
