"""The page about the API: public, whole, and its commands work as they stand."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from flask.testing import FlaskClient
from markupsafe import escape
from werkzeug.test import TestResponse

from dashboard.api import BLUEPRINTS, docs
from dashboard.api.openapi import ADDRESS, PAGE, describe
from dashboard.api.problems import KINDS, Kind
from dashboard.api.reference import HOST, pretty, refer
from tests.api.conftest import Caller

README = (Path(__file__).parents[2] / "README.md").read_text()
REFERENCE = refer(describe(BLUEPRINTS))


@pytest.fixture
def shown(client: FlaskClient) -> str:
    answer = client.get(PAGE)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    return answer.text


def anchors(page: str) -> list[str]:
    return re.findall(r'\sid="([^"]+)"', page)


def test_every_endpoint_and_every_problem_has_an_anchor(shown: str) -> None:
    assert {endpoint.anchor for endpoint in REFERENCE.endpoints} | set(KINDS) <= set(anchors(shown))
    assert len(REFERENCE.endpoints) == sum(len(item) for item in describe(BLUEPRINTS)["paths"].values())


def test_every_kind_of_problem_is_explained_with_an_example() -> None:
    assert set(KINDS) == set(get_args(Kind)) == {problem.kind for problem in REFERENCE.problems}
    for problem in REFERENCE.problems:
        assert f'"{PAGE}#{problem.kind}"' in problem.example


def test_every_link_on_the_page_leads_somewhere(shown: str) -> None:
    there = anchors(shown)
    links = set(re.findall(r'href="#([^"]+)"', shown))
    assert links
    assert links - set(there) == set()
    assert [name for name, times in Counter(there).items() if times > 1] == []


def test_every_refusal_of_every_endpoint_leads_to_what_is_told_of_it(shown: str) -> None:
    leads = {refusal.anchor for endpoint in REFERENCE.endpoints for refusal in endpoint.refusals}
    assert leads <= set(anchors(shown))


def test_it_leads_to_the_description_and_to_no_other_site(shown: str) -> None:
    assert f'href="{ADDRESS}"' in shown
    assert re.findall(r'(?:src|href)="(?:https?:)?//', shown) == []


def test_nobody_has_to_sign_in_and_no_database_is_asked(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(client.application.extensions, "database")
    assert client.get(PAGE).status_code == 200


def test_it_is_put_together_once(client: FlaskClient, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "refer", None)
    assert client.get(PAGE).status_code == 200


def test_each_reader_sees_the_address_they_came_by(client: FlaskClient) -> None:
    for origin in ("http://onboarding.example", "https://other.example:8443"):
        shown = client.get(PAGE, base_url=origin).text
        assert f"export ONBOARDING={origin}\n" in shown
    assert "onboarding.example" not in shown


def test_markup_in_a_host_stays_text(client: FlaskClient) -> None:
    answer = client.get(PAGE, headers={"Host": 'x"><script>alert(1)</script>'})
    assert "<script>alert" not in answer.text


# Its commands ---------------------------------------------------------------------------------------------------------


def carry_out(api: Caller, command: str) -> TestResponse:
    """What the command would send, sent."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "curl"
    options = dict(zip(words[1::2], words[2::2], strict=False)) if words[1] == "-X" else {}
    address = next(word for word in words if word.startswith(HOST))
    headers = dict(word.split(": ", 1) for word in words if re.match(r"[A-Z][\w-]+: ", word))
    headers["Authorization"] = headers["Authorization"].replace("$TOKEN", api.secret())
    body = words[words.index("-d") + 1] if "-d" in words else None
    return api(options.get("-X", "GET"), address.removeprefix(HOST), token="", headers=headers, data=body)


@pytest.mark.on_the_demo
@pytest.mark.parametrize("order", [1, -1], ids=["in order", "backwards"])
def test_every_command_works_on_the_demo(order: int, api: Caller) -> None:
    for endpoint in REFERENCE.endpoints[::order]:
        answer = carry_out(api, endpoint.request)
        assert answer.status_code in [one.status for one in endpoint.answers], (endpoint.request, answer.text)


@pytest.mark.on_the_demo
def test_the_command_of_the_readme_works_beside_them(api: Caller) -> None:
    command = README[README.index("curl ") :].partition("```")[0].replace("http://127.0.0.1:8000", HOST)
    for request in (*(endpoint.request for endpoint in REFERENCE.endpoints), command):
        answer = carry_out(api, request)
    assert answer.status_code == 200, answer.text


def test_every_command_is_on_the_page_as_it_stands(shown: str) -> None:
    for endpoint in REFERENCE.endpoints:
        assert escape(endpoint.request) in shown


# How JSON is shown ----------------------------------------------------------------------------------------------------


def test_what_fits_on_a_line_is_on_one() -> None:
    assert pretty({"a": [1, 2], "b": None}) == '{"a": [1, 2], "b": null}'
    long = {"a": "x" * 60, "b": {"c": [1, 2]}, "d": [{"e": "y" * 70}]}
    assert pretty(long).splitlines() == [
        "{",
        f'  "a": "{"x" * 60}",',
        '  "b": {"c": [1, 2]},',
        '  "d": [',
        "    {",
        f'      "e": "{"y" * 70}"',
        "    }",
        "  ]",
        "}",
    ]


def test_json_is_coloured_and_nothing_in_it_is_markup() -> None:
    told = docs.coloured(r'{"a<b": "c \"d\" <i>", "n": -1.5, "t": true}')
    plain = re.sub(r'</?span( class="\w+")?>', "", told)
    assert plain == r'{"a&lt;b": "c \"d\" &lt;i&gt;", "n": -1.5, "t": true}'
    assert re.findall(r'class="(\w+)"', told) == ["key", "text", "key", "other", "key", "other"]
