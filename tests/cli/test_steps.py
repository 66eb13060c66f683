"""`dashboard step`, run as a program, and the YAML and the report behind it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from dashboard import cli
from dashboard.cli import report, yaml_text
from dashboard.demo.data import STEPS
from dashboard.onboarding import definitions, drafts, releases, steps
from dashboard.onboarding.carryover import KEEP_ALL, Policy
from dashboard.onboarding.errors import Invalid
from dashboard.onboarding.plans import PREDICTED
from tests.factories import MAYA, OTHER, STEP, a_draft, a_save, a_step, people, snapshot
from tests.program import Program

PROGRAM = [sys.executable, "-c", "from dashboard.cli import main; main()"]


@pytest.fixture
def dashboard(database_url: str) -> Program:
    """The `dashboard step` command on this test's database."""
    return Program({"DATABASE_URL": database_url, "COLUMNS": "100"}, "step")


def a_file(weight: object = 30, title: str = "Set up payments", more: str = "", step_id: str = STEP) -> str:
    return f"steps:\n  {step_id}:\n    title: {title}\n    weight: {weight}\n{more}"


# YAML -----------------------------------------------------------------------------------------------------------------

AWKWARD = st.text(
    st.sampled_from(list(" \n\t\r:#-'\"|>%@`&*!?{}[],\\\x85\u2028\u2029\ufeffae1~\x07\x7f\u202e\u200fא🎉"))
)
WORDS = st.sampled_from(["yes", "No", "null", "~", "1e3", "0o17", "017", "1_000", "12:30", "2024-01-01", "<<", "=", ""])
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | AWKWARD | WORDS


@settings(max_examples=100)
@given(st.dictionaries(TEXTS, st.dictionaries(TEXTS, TEXTS | st.integers(-(10**9), 10**9) | st.none())))
def test_any_text_survives_being_written_and_read(document: dict[str, Any]) -> None:
    assert yaml_text.read(yaml_text.write(document).encode()).document == document


@settings(max_examples=100)
@given(TEXTS, TEXTS, st.integers(1, 1000))
def test_every_definition_survives_being_written_and_read(title: str, description: str, weight: int) -> None:
    try:
        fields = steps.check({"title": title, "description": description, "weight": weight})
    except Invalid:
        return
    entry = {member: getattr(fields, member) for member in steps.MEMBERS}
    written = yaml_text.write({"steps": {STEP: entry}})
    assert definitions.read(yaml_text.read(written.encode()).document) == [definitions.WantedStep(STEP, fields)]
    # and so for any other program that reads YAML
    assert yaml.safe_load(written) == {"steps": {STEP: entry}}


@settings(max_examples=100)
@given(st.binary() | st.text(st.characters(exclude_categories=["Cs"])).map(str.encode) | AWKWARD.map(str.encode))
def test_any_file_is_read_or_refused_with_a_place(raw: bytes) -> None:
    try:
        yaml_text.read(raw)
    except yaml_text.BadFile as bad:
        assert all(one.where and one.reason for one in bad.listed)


def test_long_text_is_easy_to_review() -> None:
    long = "All on one line, " * 20
    written = yaml_text.write({"title": long.strip(), "description": "First: this.\n\n  Then that – 🎉", "weight": 5})
    assert written == f"title: {long.strip()}\ndescription: |-\n  First: this.\n\n    Then that – 🎉\nweight: 5\n"


@pytest.mark.parametrize("word", ["1e3", "0o17", "017", "yes", "null", "2024-01-01"])
def test_text_that_other_programs_would_take_for_something_else_is_quoted(word: str) -> None:
    assert yaml_text.write({"title": word}) == f"title: '{word}'\n"


@pytest.mark.parametrize("word", ["yes", "no", "on", "1e3", "12:30", "2024-01-01", "1.5", "0x10", "1_000", "<<"])
def test_a_plain_word_is_text(word: str) -> None:
    assert yaml_text.read(f"title: {word}".encode()).document == {"title": word}


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nsteps: *c\n"

BAD_FILES: list[tuple[str, str | bytes, str]] = [
    ("empty", "", "the file: is empty"),
    ("only a comment", "# nothing\n", "the file: is empty"),
    ("not YAML", "steps:\n  a: [1\n  b: 2\n", "line 3, column 4: is not YAML: expected ',' or ']', but got ':'"),
    ("a tab", "steps:\n\ta: 1\n", "line 2, column 1: is not YAML: found character '\\t' that cannot start any token"),
    ("a list", "- a\n", "the file: the document: must be a mapping with the member steps"),
    ("no steps", "{}\n", "the file: steps: is required"),
    ("an unknown part", "steps: {}\nstpes: {}\n", "line 2: stpes: is not known here"),
    ("an unknown member", a_file(more="    colour: red\n"), f"line 5: steps.{STEP}.colour: is not a member of a step"),
    ("a step twice", a_file() + a_file().partition("\n")[2], f"line 5: steps.{STEP} appears twice, first on line 2"),
    ("a list of steps", "steps:\n- step_id: a\n- step_id: a\n", "line 1: steps: must be a mapping from each step_id"),
    ("a member twice", a_file(more="    weight: 5\n"), f"line 5: steps.{STEP}.weight appears twice, first on line 4"),
    ("a weight of ten", a_file("ten"), f"line 4: steps.{STEP}.weight: must be a whole number from 1 to 1,000"),
    ("a weight of 10.5", a_file("10.5"), f"line 4: steps.{STEP}.weight: must be a whole number from 1 to 1,000"),
    ("a huge weight", a_file("9" * 5000), f"line 4: steps.{STEP}.weight: must be a whole number from 1 to 1,000"),
    ("no title", f"steps:\n  {STEP}:\n    weight: 5\n", f"line 2: steps.{STEP}.title: is required"),
    ("a number as title", a_file(title="2024"), f"line 3: steps.{STEP}.title: must be text"),
    ("a bad step_id", a_file(step_id="Set Up"), "line 2: steps.Set Up: is not a step_id: 1 to 64 lowercase letters"),
    ("a new step_id in capitals", a_file(step_id="SetUp"), "line 2: steps.SetUp: must be 1 to 64 lowercase letters"),
    ("the id of a page", a_file(step_id="new"), "line 2: steps.new: is reserved for the page that creates a step"),
    (
        "a bad address",
        a_file(more="    action_url: javascript:x\n"),
        f"line 5: steps.{STEP}.action_url: must be an http",
    ),
    (
        "an unsafe tag",
        "steps: !!python/object/apply:os.system ['true']\n",
        "line 1, column 8: tag:yaml.org,2002:python/",
    ),
    ("a harmless tag", a_file("!!int 5"), "line 4, column 13: tag:yaml.org,2002:int: tags are not supported"),
    ("a bomb of aliases", BOMB, "line 2, column 8: *a: write it out, references are not supported"),
    ("an endless list", "steps: &a [*a]\n", "line 1, column 12: *a: write it out"),
    ("very deep", "[" * 100_000, "line 1, column 9: is nested too deeply"),
    ("a key that is a list", "? [a]\n: b\n", "line 1, column 3: the name of a member must be text"),
    ("two documents", "steps: {}\n---\nsteps: {}\n", "line 2, column 1: is not YAML: but found another document"),
    ("more than 1 MB", "#" * (2**20 + 1), "the file: is larger than 1 MB"),
    ("broken UTF-8", b"steps:\n  a: \xff\n", "line 2: is not text in UTF-8"),
    ("UTF-16", "steps: {}".encode("utf-16"), "line 1: is not text in UTF-8"),
    ("binary", b"\x7fELF\x00\x01", "line 1, column 1: has a character that cannot be stored (U+007F)"),
    ("an impossible escape", 'a: "\\UFFFFFFFF"\n', "the file: is not YAML: it has an invalid escape"),
    (
        "half a character",
        a_file(title='"\\uD800"'),
        f"line 3: steps.{STEP}.title: has a character that cannot be stored",
    ),
    ("a terminal's command", a_file(more='    "\\e[2J": x\n'), f"line 5: steps.{STEP}.\\x1b[2J: is not a member"),
]


@pytest.mark.parametrize(("raw", "said"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES])
def test_a_bad_file_is_refused_with_one_clear_line_and_nothing_is_changed(
    dashboard: Program, session: Session, raw: str | bytes, said: str
) -> None:
    before = snapshot(session)
    done = dashboard("import", "-", given=raw)
    first, second = done.err.splitlines()
    assert done.code == 2
    assert first == "Nothing was imported: 1 problem."
    assert second.strip().startswith(said)
    assert snapshot(session) == before


def test_every_problem_has_a_line_or_is_counted(dashboard: Program) -> None:
    raw = "steps:\n" + "".join(f"  step-{n}:\n    title: A\n    weight: ten\n" for n in range(30))
    done = dashboard("import", "-", given=raw)
    assert done.code == 2
    assert len(done.err.splitlines()) == 22
    assert done.err.splitlines()[-1].strip() == "and 10 more"
    as_json = dashboard("import", "-", "--json", given=raw)
    assert as_json.code == 2
    assert as_json.json["imported"] is False
    assert (len(as_json.json["problems"]), as_json.json["total"]) == (20, 30)
    assert as_json.json["problems"][0]["where"] == "line 4"


# Export and import ----------------------------------------------------------------------------------------------------


def test_an_export_is_read_back_without_loss(dashboard: Program, session: Session, tmp_path: Path) -> None:
    a_step(session, title="Einrichten: “yes” 🎉", description="1e3\n\n  - 'two'\nשלום\n# three\x85four", weight=7)
    a_step(session, OTHER, title="yes", action_url="/x?a=1#b")
    session.commit()
    file = tmp_path / "steps.yaml"
    assert dashboard("export", "--file", str(file)).code == 0
    assert file.read_bytes() == dashboard("export").out.encode() + b"\n"
    before = snapshot(session)
    done = dashboard("import", str(file))
    assert (done.code, done.out.splitlines()[:2]) == (0, [f"{STEP}  unchanged", f"{OTHER}      unchanged"])
    assert snapshot(session) == before
    assert dashboard("export", "--json").json == yaml.safe_load(file.read_text())


def test_an_export_of_named_steps(dashboard: Program, session: Session) -> None:
    a_step(session)
    a_step(session, OTHER)
    session.commit()
    assert list(yaml.safe_load(dashboard("export", OTHER).out)["steps"]) == [OTHER]
    assert dashboard("export", "nothing").code == 2
    assert dashboard("export", "--file", "/no/such/folder/x.yaml").err == (
        "/no/such/folder/x.yaml can't be written: No such file or directory"
    )


def test_an_empty_checklist_is_exported_and_imported(dashboard: Program) -> None:
    exported = dashboard("export")
    assert yaml.safe_load(exported.out) == {"steps": {}}
    assert dashboard("import", "-", given=exported.out).out.startswith("The file has no steps")


def test_an_import_makes_drafts_and_no_release(dashboard: Program, session: Session) -> None:
    a_step(session, weight=10)
    a_step(session, OTHER, title="Invite", weight=5)
    session.commit()
    raw = (
        a_file(title="Set up payouts", more="    position: 9\n")
        + f"  {OTHER}: {{title: Invite, weight: 5, position: 1}}\n"
        + "  new-one: {title: New, weight: 5}\n"
    )
    dry = dashboard("import", "-", "--dry-run", given=raw)
    assert dry.out.endswith("Nothing was changed: this was a dry run.")
    assert steps.get(session, STEP).draft is None
    session.rollback()
    done = dashboard("import", "-", given=raw)
    assert done.code == 0
    assert done.out.splitlines() == [
        f"{STEP}  draft of version 2 (changed: title, weight)",
        f"{OTHER}      unchanged",
        "new-one          created, with a draft of version 1",
        "The file's order differs and was not applied: reorder on the Steps page.",
        "Nothing was released: these are drafts.",
    ]
    assert dry.out.splitlines()[:4] == done.out.splitlines()[:4]
    found = steps.get(session, STEP)
    assert found.live
    assert found.live.version == 1
    assert found.draft
    assert found.draft.edited_by == "system:command-line"


def test_an_import_as_json(dashboard: Program, session: Session) -> None:
    a_step(session, weight=10)
    session.commit()
    done = dashboard("import", "-", "--json", given=a_file())
    one = {"step_id": STEP, "outcome": "draft", "version": 2, "changed": ["weight"], "note": ""}
    assert done.json == {"dry_run": False, "same_order": True, "steps": [one]}


def test_a_colleagues_draft_is_refused_unless_it_is_to_be_discarded(dashboard: Program, session: Session) -> None:
    a_step(session)
    a_draft(session, title="Maya's words")
    session.commit()
    before = snapshot(session)
    raw = "steps:\n  new-one: {title: New, weight: 5}\n" + a_file().partition("\n")[2]
    done = dashboard("import", "-", given=raw)
    assert done.code == 1
    assert done.err == (
        f"“{STEP}” has an open draft of version 2 by maya@example.com. "
        "Nothing was imported. To replace other people's drafts, add --discard-drafts."
    )
    assert snapshot(session) == before
    done = dashboard("import", "-", "--discard-drafts", given=raw)
    assert done.code == 0
    assert "draft of version 2 (changed: weight); replaces the draft by maya@example.com" in done.out


def test_a_withdrawn_step_is_refused(dashboard: Program, session: Session) -> None:
    a_step(session)
    releases.withdraw(session, MAYA, STEP)
    session.commit()
    done = dashboard("import", "-", given=a_file())
    assert done.code == 1
    assert done.err == f"Withdrawn: “{STEP}”. Restore the steps you want to change, or leave them out."


def test_the_list(dashboard: Program, session: Session) -> None:
    assert dashboard("list").out.startswith("There are no steps yet.")
    a_step(session, title="Set up", weight=1000)
    a_draft(session, weight=5)
    a_step(session, OTHER, released=False)
    a_step(session, "gone")
    releases.withdraw(session, MAYA, "gone")
    session.commit()
    assert dashboard("list").out.splitlines() == [
        "Step             Title        State                               Weight",
        "set-up-payments  Set up       version 1, draft of version 2         1000",
        "invite-team      Invite team  never released, draft of version 1      10",
        "gone             Gone         withdrawn                               10",
    ]
    assert [one["withdrawn"] for one in dashboard("list", "--json").json] == [False, False, True]


# Preview, release, rollback -------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(session: Session) -> list[str]:
    """Ten people: four done, two skipped, three begun, one not; a draft that weighs more waits."""
    a_step(session, weight=10)
    a_step(session, OTHER, weight=10)
    ids = people(session, 10)
    for user_id, status in zip(ids, ["done"] * 4 + ["skipped"] * 2 + ["in_progress"] * 3, strict=False):
        a_save(session, status, user_id)
    a_draft(session, weight=30, description="Take cards\nfrom day one", action_url="/payments")
    session.commit()
    return ids


PREVIEW = """\
set-up-payments: release of version 2; version 1 is live

What changes
  description
    + Take cards
    + from day one
  weight: 10 of 20 -> 30 of 40
  action_url: “” -> “/payments”

Carry-over: Done kept, Skipped kept, In progress reset; people who had finished: stay finished

People       10
  affected    9
    kept      6
    reset     3
  untouched   1

Before \\ after  Done  Skipped  In progress  To do
Done               4        0            0      0
Skipped            0        2            0      0
In progress        0        0            0      3
To do              0        0            0      1

Progress  before  after
0-9 %          4      4
10-19 %        0      0
20-29 %        0      0
30-39 %        0      0
40-49 %        0      0
50-59 %        6      0
60-69 %        0      0
70-79 %        0      6
80-89 %        0      0
90-99 %        0      0
100 %          0      0
Median      50 %   75 %
Finished       0      0

Progress: 6 go up, 0 go down, 4 stay the same."""


@pytest.mark.usefixtures("crowd")
def test_the_preview_says_what_a_release_would_do(dashboard: Program, session: Session) -> None:
    before = snapshot(session)
    done = dashboard("preview", STEP)
    assert done.code == 0, done.err
    assert done.out == PREVIEW
    assert snapshot(session) == before


@pytest.mark.usefixtures("crowd")
def test_the_preview_under_another_policy(dashboard: Program) -> None:
    done = dashboard(
        "preview", STEP, "--done", "redo", "--skipped", "reset", "--in-progress", "keep", "--reopen-finished"
    )
    assert "Carry-over: Done to do again, Skipped reset, In progress kept" in done.out
    assert "not finished below 100 %" in done.out
    assert done.out.endswith("Progress: 0 go up, 6 go down, 4 stay the same; the largest drop is 50 points.")


@pytest.mark.usefixtures("crowd")
def test_the_preview_as_json_has_the_members_of_the_api(dashboard: Program, session: Session) -> None:
    from dashboard.api.releases import Migrated, RolledBack

    found = dashboard("preview", STEP, "--json").json
    with releases.dry_run(session):
        expected = releases.release(session, MAYA, STEP, Policy())
    assert set(found) == {field.serialization_alias or name for name, field in Migrated.model_fields.items()}
    assert found["impact"] == expected.as_json(dry_run=True)["impact"]
    assert {"member": "actionUrl", "before": "", "after": "/payments"} in found["impact"]["changes"]
    assert (found["dryRun"], found["releaseId"], found["progressReset"]) == (True, None, 3)
    a_save(session, "done", "user-0009")
    releases.release(session, MAYA, STEP)
    session.commit()
    found = dashboard("preview", STEP, "--rollback", "--json").json
    assert set(found) == {field.serialization_alias or name for name, field in RolledBack.model_fields.items()}
    assert found["restored"] == 3


@pytest.mark.usefixtures("crowd")
def test_a_release_and_its_rollback(dashboard: Program, session: Session) -> None:
    done = dashboard("release", STEP, "--note", "From CI", "--expect-reset", "3", "--yes")
    assert done.code == 0, done.err
    shown, told = done.out[: len(PREVIEW)], done.out.splitlines()[-4:]
    assert shown.startswith("set-up-payments: release of version 2")
    assert told[:3] == [
        f"{STEP} is live in version 2: release 2.",
        "9 people affected: 6 kept, 3 reset. 1 untouched.",
        "Predicted: 3 reset, 0 given back.",
    ]
    assert "5 invariants checked, all hold" in told[3]
    made = releases.get(session, STEP, 2)
    assert (made.note, made.released_by, made.policy) == ("From CI", "system:command-line", Policy())
    session.rollback()

    back = dashboard("rollback", STEP, "--note", "Broke it", "--from-version", "2", "--yes")
    assert back.out.startswith(f"{STEP}: rollback from version 2 to version 1")
    assert "9 people affected: 6 kept, 0 reset, 3 given back; 0 keep later work. 1 untouched." in back.out
    assert steps.get(session, STEP).live == steps.version(session, STEP, 1)


@pytest.mark.usefixtures("crowd")
def test_a_release_as_json_prints_nothing_else(dashboard: Program, session: Session) -> None:
    done = dashboard("release", STEP, "--note", "x", "--in-progress", "keep", "--yes", "--json")
    made = releases.get(session, STEP, 2)
    assert made.policy == KEEP_ALL
    assert (done.json["releaseId"], done.json["receipt"]) == (made.id, made.receipt)


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("command", ["release", "rollback"])
def test_a_receipt_is_as_full_as_that_of_a_page(dashboard: Program, session: Session, command: str) -> None:
    if command == "rollback":
        releases.release(session, MAYA, STEP)
        a_save(session, "done", "user-0006")
        session.commit()
    more = ["--from-version", "2"] if command == "rollback" else []
    receipt = dashboard(command, STEP, "--note", "x", *more, "--yes", "--json").json["receipt"]
    counts = (
        receipt["impact"] | receipt["impact"]["moves"] | {"fallFrom100": receipt["impact"]["moves"]["fall_from_100"]}
    )
    happened = {member: counts[member] for member in PREDICTED.values()}
    assert receipt["predicted"] == receipt["actual"] == happened
    assert receipt["drift"] == dict.fromkeys(PREDICTED.values(), 0)
    assert list(happened.values())[:6] == ([9, 6, 3, 0, 0, 1] if command == "release" else [9, 7, 0, 2, 1, 1])


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("release", STEP, "--note", "x"), 2, "There is no terminal to confirm on"),
        (("rollback", STEP, "--note", "x"), 2, "There is no terminal to confirm on"),
        (("release", STEP, "--yes"), 2, "Missing option '--note'"),
        (("release", STEP, "--note", " \t ", "--yes"), 2, "note: is required"),
        (("rollback", STEP, "--note", "", "--from-version", "1", "--yes"), 2, "note: is required"),
        (
            ("rollback", STEP, "--note", "x", "--yes"),
            2,
            "With --yes, add --from-version N",
        ),
        (("rollback", STEP, "--note", "x", "--from-version", "2", "--yes"), 1, "Version 2 is not live: version 1 is."),
        (("restore", STEP, "--note", "x", "--yes"), 1, "The step is not withdrawn."),
        (("release", STEP, "--note", "x" * 2001, "--yes"), 2, "note: must be at most 2,000 characters"),
        (("release", STEP, "--note", "x", "--tolerance", "-1", "--yes"), 2, "--tolerance"),
        (("release", "nothing", "--note", "x", "--yes"), 2, "There is no step “nothing”."),
        (("preview", STEP, "--done", "maybe"), 2, "'maybe' is not one of 'keep', 'redo'"),
        (("preview", STEP, "--rollback", "--done", "keep"), 2, "A rollback keeps everything"),
        (("preview", STEP, "--withdraw", "--reopen-finished"), 2, "A withdrawal keeps everything"),
        (("release", OTHER, "--note", "x", "--yes"), 1, "The step has no draft to release."),
        (("preview", OTHER), 1, "The step has no draft to release."),
        (
            ("rollback", STEP, "--note", "x", "--from-version", "1", "--yes"),
            1,
            "The step is at its first version: there is nothing to roll back to.",
        ),
        (
            ("release", STEP, "--note", "x", "--expect-reset", "5", "--tolerance", "1", "--yes"),
            1,
            "Reset: 5 people expected, 3 now.",
        ),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(
    dashboard: Program, session: Session, arguments: tuple[str, ...], code: int, said: str
) -> None:
    before = snapshot(session)
    done = dashboard(*arguments)
    assert done.code == code
    assert said in done.err
    assert snapshot(session) == before


@pytest.mark.usefixtures("crowd")
def test_a_rollback_that_runs_twice_takes_back_one_release(dashboard: Program, session: Session) -> None:
    releases.release(session, MAYA, STEP)
    a_draft(session, weight=40)
    releases.release(session, MAYA, STEP)
    session.commit()
    again = ("rollback", STEP, "--note", "From CI", "--from-version", "3", "--yes")
    assert dashboard(*again).code == 0
    second = dashboard(*again)
    assert (second.code, second.out, second.err) == (1, "", "Version 3 is not live: version 2 is.")
    assert steps.get(session, STEP).live == steps.version(session, STEP, 2)


@pytest.mark.usefixtures("crowd")
def test_a_step_is_withdrawn_and_restored(dashboard: Program, session: Session) -> None:
    before = snapshot(session)
    assert dashboard("preview", STEP, "--withdraw").out.startswith(f"{STEP}: withdrawal of version 1\n\nPeople ")
    assert snapshot(session) == before
    gone = dashboard("withdraw", STEP, "--note", "Moved elsewhere", "--yes")
    assert f"{STEP} is withdrawn: release 2." in gone.out.splitlines()
    assert "What changes" not in gone.out
    assert steps.get(session, STEP).withdrawn
    assert releases.get(session, STEP, 2).note == "Moved elsewhere"
    session.rollback()
    again = dashboard("withdraw", STEP, "--note", "x", "--yes")
    assert (again.code, again.err) == (1, "The step is already withdrawn.")

    assert dashboard("preview", STEP, "--restore", "--json").json["impact"]["everybody"] == 10
    back = dashboard("restore", STEP, "--note", "Here again", "--yes")
    assert back.out.startswith(f"{STEP}: restore of version 1\n\nWhat changes\n  title: “Set up payments”")
    assert f"{STEP} is live in version 1: release 3." in back.out.splitlines()
    assert steps.get(session, STEP).live == steps.version(session, STEP, 1)
    session.rollback()
    assert snapshot(session)["onboarding_users"] == before["onboarding_users"]


def test_a_withdrawn_step_is_not_released(dashboard: Program, session: Session) -> None:
    a_step(session)
    a_draft(session, weight=5)
    releases.withdraw(session, MAYA, STEP)
    session.commit()
    done = dashboard("release", STEP, "--note", "x", "--yes")
    assert (done.code, done.err) == (1, "The step was withdrawn. Restore it first.")


def test_the_first_release_of_an_imported_step(dashboard: Program) -> None:
    assert dashboard("import", "-", given=a_file()).code == 0
    done = dashboard("release", STEP, "--note", "x", "--yes")
    assert done.out.startswith(f"{STEP}: first release, of version 1\n\nWhat changes\n  title: “Set up payments”")


# On a terminal --------------------------------------------------------------------------------------------------------


class Terminal:
    """A release that asks on a terminal: what it shows, and its answer."""

    def __init__(self, url: str, *arguments: str) -> None:
        self.ours, theirs = pty.openpty()
        environment = {**os.environ, "DATABASE_URL": url, "TERM": "dumb"}
        command = [*PROGRAM, "step", *arguments]
        self.running = subprocess.Popen(command, env=environment, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE)
        os.close(theirs)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        while text not in self.shown and (block := self._read()):
            self.shown += block.decode(errors="replace")
        assert text in self.shown

    def answer(self, text: str) -> tuple[int, str]:
        """Types the text; the exit code and what came on standard output."""
        os.write(self.ours, f"{text}\n".encode())
        out = self.running.communicate(timeout=30)[0].decode()
        while block := self._read():
            self.shown += block.decode(errors="replace")
        os.close(self.ours)
        return self.running.returncode, out

    def _read(self) -> bytes:
        try:
            return os.read(self.ours, 4096)
        except OSError:
            return b""


@pytest.mark.usefixtures("crowd")
def test_a_terminal_sees_the_report_and_is_asked(database_url: str, session: Session) -> None:
    terminal = Terminal(database_url, "release", STEP, "--note", "x", "--json")
    terminal.wait_for("Continue? [y/N]:")
    assert "release of version 2; version 1 is live" in terminal.shown
    code, out = terminal.answer("y")
    assert code == 0
    assert json.loads(out)["releaseId"] == releases.get(session, STEP, 2).id


@pytest.mark.usefixtures("crowd")
def test_a_no_changes_nothing(database_url: str, session: Session) -> None:
    before = snapshot(session)
    terminal = Terminal(database_url, "release", STEP, "--note", "x")
    terminal.wait_for("Continue?")
    assert terminal.answer("n") == (1, "")
    assert "Nothing was changed." in terminal.shown
    assert snapshot(session) == before


@pytest.mark.usefixtures("crowd")
def test_a_release_in_the_meantime_makes_the_plan_stale(database_url: str, session: Session) -> None:
    terminal = Terminal(database_url, "release", STEP, "--note", "x")
    terminal.wait_for("Continue?")
    releases.release(session, MAYA, STEP)
    session.commit()
    assert terminal.answer("y") == (1, "")
    assert "Release 2 went live since you previewed this, by maya@example.com." in terminal.shown


@pytest.mark.usefixtures("crowd")
def test_a_save_of_the_draft_in_the_meantime_makes_the_plan_stale(database_url: str, session: Session) -> None:
    terminal = Terminal(database_url, "release", STEP, "--note", "x")
    terminal.wait_for("Continue?")
    draft = steps.get(session, STEP).draft
    assert draft
    drafts.save(session, MAYA, STEP, {"title": "Later words"}, draft.row_version)
    session.commit()
    assert terminal.answer("y") == (1, "")
    assert "The draft was saved again since you previewed it" in terminal.shown


@pytest.mark.usefixtures("crowd")
def test_more_people_reset_than_foretold_make_the_plan_stale(database_url: str, session: Session) -> None:
    terminal = Terminal(database_url, "release", STEP, "--note", "x", "--expect-reset", "3")
    terminal.wait_for("Continue?")
    a_save(session, "in_progress", "user-0009")
    session.commit()
    assert terminal.answer("y") == (1, "")
    assert "Reset: 3 people expected, 4 now." in terminal.shown


# Help -----------------------------------------------------------------------------------------------------------------


def test_each_command_has_help_with_an_example(dashboard: Program) -> None:
    for command in ("list", "export", "import", "preview", "release", "rollback", "withdraw", "restore"):
        done = dashboard(command, "--help")
        assert done.code == 0
        assert f"dashboard step {command}" in done.out.partition("Usage:")[2].partition("\n")[2]


def test_the_examples_work_on_the_demo(dashboard: Program) -> None:
    in_the_demo = {one.step_id for one in STEPS}
    for command in ("export", "preview", "release", "rollback", "withdraw", "restore"):
        named = re.findall(
            rf"^ +dashboard step {command} ([a-z][a-z-]+)", dashboard(command, "--help").out, re.MULTILINE
        )
        assert named
        assert set(named) <= in_the_demo


def test_without_a_change_the_report_says_so() -> None:
    assert report._changes([], (10, 10)) == "What changes\n  nothing"
    assert report.printable("a\x1b[2J\n") == "a\\x1b[2J\\n"


def test_a_defect_of_the_program_is_told_apart_from_a_refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "dashboard", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert "ZeroDivisionError" in capsys.readouterr().err
