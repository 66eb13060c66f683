"""Every table on one page. The rules that give the rows their meaning are in dashboard/onboarding/."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, get_args

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dashboard.onboarding.actor import BY, Source
from dashboard.onboarding.carryover import STATUSES, Kind

# A different seed per array, so that a release counts differently in each.
STANDING = (
    "hash_array_extended(done_releases, 1) # hash_array_extended(skipped_releases, 2)"
    " # hash_array_extended(in_progress_releases, 3)"
)


def one_of(column: str, values: tuple[str, ...]) -> str:
    """The SQL of a check that `column` holds one of `values`."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
created = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
number_list = Annotated[list[int], mapped_column(ARRAY(Integer), server_default=text("'{}'"))]
big_id = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]


class Base(DeclarativeBase):
    """Names all constraints by one scheme, so that a database error can be recognised by its constraint's name."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Text(), dict[str, Any]: JSONB(), list[str]: ARRAY(Text)}


# The checklist -------------------------------------------------------------------------------------------------------


class Step(Base):
    """One task of the checklist. `current_release_id` is the pointer that a release flips; null: never released.

    `weight` is the live version's, in points: 0 if there is none. `draft_row_version` is the highest of the step's
    earlier drafts: the next draft continues from there, so that no stale form fits another draft.
    """

    __tablename__ = "steps"

    step_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    current_release_id: Mapped[int | None] = mapped_column(
        ForeignKey("step_releases.id", name="fk_steps_current_release_id", use_alter=True)
    )
    weight: Mapped[int] = mapped_column(server_default="0")
    draft_row_version: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[created]

    # checked at the end of a statement: reordering changes many positions at once
    __table_args__ = (UniqueConstraint("position", deferrable=True, initially="IMMEDIATE"),)


class Definition(Base):
    """The content of a step in one version: immutable once released; before that, the step's one draft."""

    __tablename__ = "onboarding_step_definitions"

    step_id: Mapped[str] = mapped_column(ForeignKey("steps.step_id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    weight: Mapped[int]
    action_url: Mapped[str] = mapped_column(server_default="")
    is_active: Mapped[bool] = mapped_column(server_default=false())
    state: Mapped[str] = mapped_column(server_default="draft")
    based_on: Mapped[int | None]
    row_version: Mapped[int] = mapped_column(server_default="1")
    edited_at: Mapped[created]
    edited_by: Mapped[str]

    __table_args__ = (
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("char_length(title) BETWEEN 1 AND 200", name="title"),
        CheckConstraint("weight BETWEEN 1 AND 1000", name="weight"),
        CheckConstraint(one_of("state", ("draft", "released")), name="state"),
        CheckConstraint("state = 'released' OR NOT is_active", name="active_is_released"),
        Index("uq_onboarding_step_definitions_draft", "step_id", unique=True, postgresql_where=text("state = 'draft'")),
        Index("uq_onboarding_step_definitions_active", "step_id", unique=True, postgresql_where=text("is_active")),
    )


class DraftEditor(Base):
    """Someone who has the step's draft open in a form, and when their form last reported."""

    __tablename__ = "draft_editors"

    step_id: Mapped[str] = mapped_column(ForeignKey("steps.step_id", ondelete="CASCADE"), primary_key=True)
    actor: Mapped[str] = mapped_column(primary_key=True)
    row_version: Mapped[int]
    seen_at: Mapped[created]


class Release(Base):
    """The moment at which a version of a step went live (version null: the step was withdrawn).

    `carry_*` is the policy of the release. The rest is derived, and recomputed by each release of the step:
    `*_reset_by` is the release that reset a status recorded under this one, null while that still counts, and
    `*_points` is what such a status is worth today: the step's live weight, or 0.
    """

    __tablename__ = "step_releases"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    step_id: Mapped[str] = mapped_column(ForeignKey("steps.step_id"))
    number: Mapped[int]
    version: Mapped[int | None]
    kind: Mapped[str]
    carry_done: Mapped[bool]
    carry_skipped: Mapped[bool]
    carry_in_progress: Mapped[bool]
    undone_by: Mapped[int | None] = mapped_column(ForeignKey("step_releases.id"))
    done_reset_by: Mapped[int | None] = mapped_column(ForeignKey("step_releases.id"))
    skipped_reset_by: Mapped[int | None] = mapped_column(ForeignKey("step_releases.id"))
    in_progress_reset_by: Mapped[int | None] = mapped_column(ForeignKey("step_releases.id"))
    done_points: Mapped[int] = mapped_column(server_default="0")
    skipped_points: Mapped[int] = mapped_column(server_default="0")
    reopens_finished: Mapped[bool] = mapped_column(server_default=false())
    note: Mapped[str] = mapped_column(server_default="")
    released_at: Mapped[created]
    released_by: Mapped[str]
    receipt: Mapped[dict[str, Any] | None]

    __table_args__ = (
        UniqueConstraint("step_id", "number"),
        ForeignKeyConstraint(
            ["step_id", "version"], ["onboarding_step_definitions.step_id", "onboarding_step_definitions.version"]
        ),
        CheckConstraint(one_of("kind", get_args(Kind)), name="kind"),
        CheckConstraint("(version IS NULL) = (kind = 'withdraw')", name="withdrawn"),
        Index("ix_step_releases_released_at", "released_at"),
        # Receipts are stored out of line: the rows that every read of progress joins stay small.
        {"postgresql_with": {"toast_tuple_target": 128}},
    )


# The people ----------------------------------------------------------------------------------------------------------


class User(Base):
    """A person going through the checklist.

    The three arrays hold, sorted, the releases under which the person's steps were recorded with that status (a step
    recorded as To do is in none). They are all that a list, a count or a percentage needs. `standing` is a hash of the
    three: people with the same standing count the same everywhere, and there are usually few standings.
    """

    __tablename__ = "onboarding_users"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(server_default="")
    email: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[created]
    done_releases: Mapped[number_list]
    skipped_releases: Mapped[number_list]
    in_progress_releases: Mapped[number_list]
    standing: Mapped[int] = mapped_column(BigInteger, Computed(STANDING, persisted=True))
    finished_at: Mapped[moment | None]
    last_activity_at: Mapped[moment | None]

    __table_args__ = (
        CheckConstraint("char_length(user_id) BETWEEN 1 AND 200", name="user_id"),
        Index("ix_onboarding_users_name", text("lower(name)"), "user_id"),
        Index("ix_onboarding_users_created_at", "created_at", "user_id"),
        Index("ix_onboarding_users_last_activity", text("coalesce(last_activity_at, created_at)"), "user_id"),
        Index("ix_onboarding_users_standing", "standing", "user_id"),
        # at first hardly anybody has finished; of those at 100 % hardly anybody has not
        Index("ix_onboarding_users_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index("ix_onboarding_users_unfinished", "standing", "user_id", postgresql_where=text("finished_at IS NULL")),
        Index("ix_onboarding_users_passed", text("(cardinality(done_releases) + cardinality(skipped_releases))")),
        {"postgresql_with": {"fillfactor": 80}},
    )


class UserSearch(Base):
    """The searchable text of a person: name, email and id as search_words() has them; written by people.index.

    A separate table, because every save of a status writes the person's row, and with it each index of that table.
    """

    __tablename__ = "user_search"

    user_id: Mapped[str] = mapped_column(ForeignKey("onboarding_users.user_id", ondelete="CASCADE"), primary_key=True)
    words: Mapped[str]
    # only a prefix, because index entries are limited in size
    first_words: Mapped[str | None] = mapped_column(Computed("left(words, 200)", persisted=True))

    __table_args__ = (
        Index("ix_user_search_order", "first_words", "user_id"),
        Index("ix_user_search_words", "words", postgresql_using="gin", postgresql_ops={"words": "gin_trgm_ops"}),
    )


class UserStep(Base):
    """A status as recorded, and the release it was recorded under. What it counts as now: `effective_user_steps`.

    No index on row_version or status: no query uses one, and it would prevent PostgreSQL's HOT updates.
    """

    __tablename__ = "user_steps"

    user_id: Mapped[str] = mapped_column(ForeignKey("onboarding_users.user_id"), primary_key=True)
    step_id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    release_id: Mapped[int] = mapped_column(ForeignKey("step_releases.id"))
    row_version: Mapped[int]
    updated_at: Mapped[created]
    updated_by: Mapped[str]

    __table_args__ = (
        CheckConstraint(one_of("status", STATUSES), name="status"),
        {"postgresql_with": {"fillfactor": 85}},
    )


class UserStepEvent(Base):
    """Append-only: one acknowledged write. The primary key keeps the promise that no row_version repeats."""

    __tablename__ = "user_step_events"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    step_id: Mapped[str] = mapped_column(primary_key=True)
    row_version: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[created]
    actor: Mapped[str]
    source: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default="0")
    from_status: Mapped[str]
    to_status: Mapped[str]
    release_id: Mapped[int]
    comment: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (
        # With the person: an import writes a million events at one moment, and activity pages end among them.
        Index("ix_user_step_events_at", "at", "user_id"),
        Index("ix_user_step_events_by", text(BY), "at", "user_id"),
        CheckConstraint(one_of("source", get_args(Source)), name="source"),
    )


class BulkChange(Base):
    """One step set to one status for many people: previewed, then carried out in batches until `finished_at`."""

    __tablename__ = "bulk_changes"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    step_id: Mapped[str] = mapped_column(ForeignKey("steps.step_id"))
    status: Mapped[str]
    comment: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[created]
    created_by: Mapped[str]
    started_at: Mapped[moment | None]
    finished_at: Mapped[moment | None]

    __table_args__ = (CheckConstraint(one_of("status", STATUSES), name="status"),)


class BulkChangePerson(Base):
    """A person in a bulk change: what the preview saw (null: no such person), and the outcome (null: not yet)."""

    __tablename__ = "bulk_change_people"

    bulk_id: Mapped[int] = mapped_column(ForeignKey("bulk_changes.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(primary_key=True)
    row_version: Mapped[int | None]
    from_status: Mapped[str | None]
    outcome: Mapped[str | None]

    __table_args__ = (
        CheckConstraint(one_of("outcome", ("changed", "same", "moved", "gone")), name="outcome"),
        Index("ix_bulk_change_people_user_id", "user_id"),
    )


class WriteConflict(Base):
    """Append-only: a stale save that was refused. `release_id`: the newest release among the changes it missed."""

    __tablename__ = "write_conflicts"

    id: Mapped[big_id]
    at: Mapped[created]
    user_id: Mapped[str]
    step_id: Mapped[str]
    actor: Mapped[str]
    source: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default="0")
    to_status: Mapped[str]
    row_version: Mapped[int]
    current_row_version: Mapped[int]
    release_id: Mapped[int | None]

    __table_args__ = (
        Index("ix_write_conflicts_at", "at"),
        Index("ix_write_conflicts_user_id", "user_id"),
    )


class AuditEntry(Base):
    """Append-only: what was done to definitions, releases, people, accounts and tokens, and sign-ins; `changes` is a diff."""

    __tablename__ = "audit_log"

    id: Mapped[big_id]
    at: Mapped[created]
    actor: Mapped[str]
    action: Mapped[str]
    step_id: Mapped[str | None]
    user_id: Mapped[str | None]
    subject: Mapped[str] = mapped_column(server_default="")
    changes: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    note: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (
        Index("ix_audit_log_at", "at"),
        Index("ix_audit_log_by", text(BY), "at"),
        Index("ix_audit_log_action", "action", "at"),
        Index("ix_audit_log_step", "step_id", "at", postgresql_where=text("step_id IS NOT NULL")),
        Index("ix_audit_log_user", "user_id", "at", postgresql_where=text("user_id IS NOT NULL")),
    )


# Who may do what -----------------------------------------------------------------------------------------------------


class StaffAccount(Base):
    """Someone who signs in to the dashboard. `email` is lower case and never changes: it identifies the actor.

    The account has a password or an identity at the sign-in provider (issuer and subject); with neither, it is an
    invitation that was not accepted yet. `row_version` goes up by one whenever the role or the way to sign in changes,
    or the account is disabled or enabled.
    """

    __tablename__ = "staff_accounts"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str | None]
    oidc_issuer: Mapped[str | None]
    oidc_subject: Mapped[str | None]
    row_version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[created]
    disabled_at: Mapped[moment | None]
    last_sign_in_at: Mapped[moment | None]

    __table_args__ = (
        CheckConstraint(one_of("role", ("viewer", "support", "manager", "admin")), name="role"),
        CheckConstraint("(oidc_issuer IS NULL) = (oidc_subject IS NULL)", name="identity"),
        CheckConstraint("password_hash IS NULL OR oidc_subject IS NULL", name="one_way_in"),
        UniqueConstraint("oidc_issuer", "oidc_subject"),
    )


class StaffSession(Base):
    """A signed-in browser, identified by the SHA-256 of what its cookie holds.

    `renewal_due`: the account's permissions have changed, so the next request gets a new secret. `previous_id` is that
    of the secret used until `renewed_at`: requests then under way still send it.
    """

    __tablename__ = "staff_sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("staff_accounts.id", ondelete="CASCADE"))
    created_at: Mapped[created]
    last_seen_at: Mapped[created]
    expires_at: Mapped[moment]
    address: Mapped[str] = mapped_column(server_default="")
    user_agent: Mapped[str] = mapped_column(server_default="")
    renewal_due: Mapped[bool] = mapped_column(server_default=false())
    previous_id: Mapped[str | None]
    renewed_at: Mapped[moment | None]

    __table_args__ = (
        Index("ix_staff_sessions_account_id", "account_id"),
        Index("ix_staff_sessions_previous_id", "previous_id"),
    )


class StaffLink(Base):
    """The one link with which an account may set its password; using it deletes it, a new one replaces it.

    Only the SHA-256 of its secret is stored.
    """

    __tablename__ = "staff_links"

    account_id: Mapped[int] = mapped_column(ForeignKey("staff_accounts.id", ondelete="CASCADE"), primary_key=True)
    secret_hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[created]
    created_by: Mapped[str]
    expires_at: Mapped[moment]


class SignInFailure(Base):
    """A refused sign-in, for throttling by account and by address across all processes."""

    __tablename__ = "sign_in_failures"

    id: Mapped[big_id]
    at: Mapped[created]
    email: Mapped[str]
    address: Mapped[str]

    __table_args__ = (
        Index("ix_sign_in_failures_email", "email", "at"),
        Index("ix_sign_in_failures_address", "address", "at"),
    )


class ApiToken(Base):
    """A host backend's key to the JSON API, stored only as its SHA-256. `name` identifies it as an actor."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[created]
    created_by: Mapped[str]
    expires_at: Mapped[moment | None]
    revoked_at: Mapped[moment | None]
    last_used_at: Mapped[moment | None]


class RateLimit(Base):
    """A caller's bucket of permits, see staff/rate_limits.py. After a server crash every bucket is full."""

    __tablename__ = "rate_limits"

    key: Mapped[str] = mapped_column(primary_key=True)
    full_at: Mapped[moment]
    granted: Mapped[int]

    __table_args__ = ({"prefixes": ["UNLOGGED"]},)


class Installation(Base):
    """Facts about this database itself, such as that it holds demo data."""

    __tablename__ = "installation"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
