"""The one way to declare an endpoint: its address, its scope, its answer and its possible refusals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from inspect import getdoc
from typing import Any, get_type_hints

from flask import Response
from pydantic import BaseModel
from werkzeug.exceptions import HTTPException

from dashboard.api.access import Bearer, Caller, admit, authorise, remembered
from dashboard.api.messages import ExactQuery
from dashboard.api.openapi import Refusals, responses, security, takes
from dashboard.api.reading import PARTS, read
from dashboard.database import Alone, Session, alone, statements, transaction
from dashboard.onboarding.errors import OnboardingError
from dashboard.staff.permissions import OF_A_USER, ByToken, Scope, declare

View = Callable[..., Response]
First = Callable[..., Response | None]
Register = Callable[..., Any]


def endpoint(
    register: Register,
    rule: str,
    scope: Scope,
    answers: type[BaseModel],
    refuses: Refusals,
    *,
    tagged: bool = False,
    creates: bool = False,
    backend_only: bool = False,
    first: First | None = None,
    looks: bool = False,
) -> Callable[[View], View]:
    """Serves the view to tokens with `scope`, excluding users' tokens if it is `backend_only`.

    `register` is `get`, `patch` ... of a blueprint. The view receives what it has an argument for: the caller; the
    session, whose transaction ends with the view; and the request's path, query, header and body. `first` is tried
    before the view, with the same arguments but without a transaction, because it is a single statement; if it returns
    None, the view runs. A `get` view has no transaction either. `looks`: the statement itself checks that the token is
    valid, and finds nothing otherwise, so a recently seen token is not looked up first. The rest is for the
    description: `tagged` answers have an ETag, `creates` may answer 201.
    """

    def decorate(view: View) -> View:
        reads_only = register.__name__ == "get"
        arguments = get_type_hints(view)
        wanted = {name: model for name, model in arguments.items() if name in PARTS}
        if not reads_only:
            wanted.setdefault("query", ExactQuery)
        guard = Guard(view, view if reads_only else first, scope, backend_only, looks, arguments, wanted)

        @wraps(view)
        def guarded(**path: str) -> Response:
            return guard.answer(path)

        declare(guarded, ByToken(scope, scope in OF_A_USER and not backend_only))
        # flask-openapi takes this for the view itself: its own reading takes broken JSON for an empty body
        guarded.view = guarded  # type: ignore[attr-defined]
        told = " ".join((getdoc(view) or "").partition("\n\n")[2].split())
        register(
            rule,
            operation_id=view.__name__,
            description=f"{told} {takes(scope, backend_only=backend_only)}".strip(),
            security=security(scope, backend_only=backend_only),
            responses=responses(answers, refuses, wanted=wanted, tagged=tagged, creates=creates),
        )(guarded)
        return guarded

    return decorate


@dataclass(frozen=True, slots=True)
class Guard:
    """Runs before a view: authorises the caller and reads the request. Built once, when the endpoint is declared.

    `single` answers with one statement, `arguments` are the view's argument names, `wanted` the parts to read.
    """

    view: View
    single: First | None
    scope: Scope
    backend_only: bool
    looks: bool
    arguments: Collection[str]
    wanted: Mapping[str, type[BaseModel]]

    def answer(self, path: Mapping[str, str]) -> Response:
        """The answer to the request. Raises every refusal."""
        bearer = admit()
        answer = self._without_a_look(bearer, path) if self.looks else None
        if answer is not None:
            return answer
        with statements() as session:
            caller = authorise(session, bearer, self.scope, backend_only=self.backend_only)
            found = self._read(caller, path)
            answer = self.single(**self._given(session, found)) if self.single else None
        if answer is not None:
            return answer
        with transaction() as session:
            return self.view(**self._given(session, found))

    def _without_a_look(self, bearer: Bearer, path: Mapping[str, str]) -> Response | None:
        """The answer to a recently seen token; None: it has to be looked up."""
        # a refusal counts only after the token was looked up
        with suppress(HTTPException, OnboardingError):
            if self.single and (caller := remembered(bearer, self.scope, backend_only=self.backend_only)):
                found = self._read(caller, path)
                with alone() as asked:
                    return self.single(**self._given(asked, found))
        return None

    def _read(self, caller: Caller, path: Mapping[str, str]) -> dict[str, Any]:
        return {"caller": caller, **read(self.wanted, path, caller.whom)}

    def _given(self, session: Session | Alone, found: Mapping[str, Any]) -> dict[str, Any]:
        """The values for the view's arguments, as far as they exist."""
        return {name: value for name, value in {"session": session, **found}.items() if name in self.arguments}
