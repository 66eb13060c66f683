"""What the tests of a person's page share: saving a row as its form does, and reading one row of what comes back."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.factories import ANNA, STEP
from tests.web.desk import HTMX, Data, form_of, part, send

Send = Callable[..., TestResponse]


def save(client: FlaskClient, row_version: object, status: str = "done", **more: str) -> TestResponse:
    """A plain form post of Anna's row; what `more` names is sent too, `step_id` and `user_id` say where to."""
    return send(client, _address(more), {"row_version": str(row_version), "status": status, **more})


def save_live(client: FlaskClient, row_version: object, status: str = "done", **more: str) -> TestResponse:
    """The same as htmx sends it."""
    token = re.findall(r'"X-CSRFToken": "([^"]+)"', client.get("/steps").text)[0]
    data = {"row_version": str(row_version), "status": status, **more}
    return client.post(_address(data), data=data, headers=HTMX | {"X-CSRFToken": token})


def _address(more: dict[str, str]) -> str:
    return f"/people/{more.pop('user_id', ANNA)}/steps/{more.pop('step_id', STEP)}"


def row(page: TestResponse, step_id: str = STEP) -> str:
    """The row of one step, as HTML."""
    found = page.text.partition(f' id="step-row-{step_id}"')[2]
    assert found, f"there is no row for {step_id}"
    return re.split(r' id="step-row-| data-testid="withdrawn-steps|<hx-partial| id="history"', found)[0]


def fields(page: TestResponse) -> Data:
    """What the form of all rows would send as the page came, its CSRF token included."""
    inputs = re.findall(r'<input[^>]* form="all-steps"[^>]*>|<input[^>]*maxlength[^>]* form="all-steps">', page.text)
    given = {_attribute(one, "name"): _attribute(one, "value") for one in inputs}
    for name, options in re.findall(r'<select[^>]* name="(status\.[^"]+)".*?>(.*?)</select>', page.text, re.DOTALL):
        given[name] = chosen(options)
    return given | {name: value for name, value in form_of(page, "all-steps").items() if name == "csrf_token"}


def _attribute(html: str, name: str) -> str:
    found = re.search(rf' {name}="([^"]*)"', html)
    return unescape(found[1]) if found else ""


def save_all(client: FlaskClient, data: Data, user_id: str = ANNA) -> TestResponse:
    """A plain post of the form of all rows."""
    return client.post(f"/people/{user_id}/steps", data=data)


def save_all_live(client: FlaskClient, data: Data, user_id: str = ANNA) -> TestResponse:
    """The same as htmx sends it."""
    return client.post(f"/people/{user_id}/steps", data=data, headers=HTMX)


def panel(page: TestResponse) -> str:
    """The conflict panel, as HTML."""
    found = page.text.partition('data-testid="conflict-panel"')[2]
    assert found, "there is no conflict panel"
    return found.partition("</section>")[0]


def chosen(html: str) -> str:
    """The status that the select of a row shows."""
    return re.findall(r'<option value="([a-z_]+)" selected', html)[0]


def hidden(html: str, name: str) -> str:
    """The value of the first hidden field of that name; of one of a panel, which is named after its step, too."""
    return unescape(re.findall(rf'name="(?:yours\.)?{name}(?:\.[^"]*)?"[^>]*value="([^"]*)"', html)[0])


def undo_of(page: TestResponse, step_id: str = STEP) -> Data:
    """What the Undo of a row says, by the plain names of its fields."""
    held = part(page.text, f"undoing-{step_id}").partition("</button>")[0]
    given = re.findall(rf'name="undo\.([a-z_]+)\.{step_id}" value="([^"]*)"', held)
    return dict(given) | {"undoes": re.findall(r'name="undoes" value="(.)"', held)[0]}
