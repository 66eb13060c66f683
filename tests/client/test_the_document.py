"""docs/client.md: its examples run in order, as one program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from tests import factories
from tests.api.conftest import Caller
from tests.factories import SAM
from tests.serving import served

DOCUMENT = Path(__file__).parents[2] / "docs" / "client.md"
AMARA, PAYMENTS = "usr_7f3k2q", "setup-payments"


def test_its_examples_do_what_it_says(
    app: Flask, api: Caller, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    factories.a_step(session, PAYMENTS)
    factories.a_person(session, AMARA)
    for status in ("in_progress", "todo"):
        factories.a_save(session, status, AMARA, PAYMENTS, SAM)
    factories.a_release(session, PAYMENTS)
    factories.a_step(session, "verify-email")
    factories.a_person(session, "usr_2m9x4d")
    session.commit()
    examples = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    with served(app) as address:
        program = "\n".join(examples).replace("https://onboarding.example.com", address)
        exec(program, names := {"token": api.secret()})
    names["client"].close()
    assert capsys.readouterr().out.splitlines() == [
        "In words of version 2 todo 4",
        "Verify email todo 1",
        "5 0 False",
        "token:host todo in_progress",
        "usr_7f3k2q 2",
        "usr_2m9x4d 2",
        "2 of 2 begin it again",
        "2 2 migrate staff:maya@example.com",
    ]
