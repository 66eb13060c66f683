"""Forms of the settings, which parse input. The rules are the engine's; its refusals are put at the fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from wtforms import EmailField, Form, PasswordField, SelectMultipleField, StringField, ValidationError

from dashboard.onboarding.errors import Invalid
from dashboard.staff import accounts, passwords, tokens
from dashboard.staff.accounts import Account
from dashboard.staff.permissions import Role, Scope

CHOOSE_ROLE = "Choose a role."
ACCOUNT_NAME = {"maxlength": accounts.MAX_NAME}
EXPIRY: Mapping[str, str] = {"30": "In 30 days", "90": "In 90 days", "365": "In 1 year", "never": "Never"}


class NameForm(Form):
    """The user's name."""

    name = StringField("Name", render_kw=ACCOUNT_NAME)


class InviteForm(Form):
    """An invitation; all problems are reported at once."""

    name = StringField("Name", render_kw=ACCOUNT_NAME)
    email = EmailField("Email")
    role = StringField("Role")

    def validate_name(self, field: StringField) -> None:
        """Applies the engine's rule."""
        _refuse(accounts.name_problem((field.data or "").strip()))

    def validate_email(self, field: EmailField) -> None:
        """Applies the engine's rule to the normalised address."""
        _refuse(accounts.email_problem(accounts.normalise_email(field.data or "")))

    def validate_role(self, field: StringField) -> None:
        """Requires an existing role."""
        _refuse(None if field.data in [role.value for role in Role] else CHOOSE_ROLE)


class NewPasswordForm(Form):
    """A password, typed twice because it can't be seen. Fields with “password” in their name are never shown again.

    `owner` is the future owner's identity, for the engine's rule: nobody's password is their own name.
    """

    owner: Account | None = None

    password = PasswordField(
        "New password",
        description=f"At least {passwords.MIN_PASSWORD} characters. A few unrelated words work well.",
    )
    password_again = PasswordField("Repeat new password")

    def validate_password(self, field: PasswordField) -> None:
        """Applies the engine's rule before a password is verified or a link used up."""
        owner = (self.owner.email, self.owner.name) if self.owner else ()
        _refuse(passwords.problem(field.data or "", *owner, before=self.password_before()))

    def password_before(self) -> str:
        """The password it replaces, if known."""
        return ""

    def validate_password_again(self, field: PasswordField) -> None:
        """Requires both to be the same."""
        differs = not self.password.errors and field.data != self.password.data
        _refuse("The passwords do not match." if differs else None)


class ChangePasswordForm(NewPasswordForm):
    """A new password, and the current one."""

    old_password = PasswordField("Current password")

    def password_before(self) -> str:
        """The current password as typed: it is verified only once the new one is acceptable."""
        return self.old_password.data or ""

    def validate_old_password(self, field: PasswordField) -> None:
        """Requires some input; verifying it costs an attempt."""
        _refuse(None if field.data else "Enter your current password.")


class TokenForm(Form):
    """A token's name, its scopes, and in how many days it expires."""

    name = StringField("Name", render_kw={"maxlength": tokens.MAX_NAME})
    scopes = SelectMultipleField("Scopes", validate_choice=False, choices=list(Scope))
    expires = StringField("Expires", default="90")

    def chosen_scopes(self) -> list[Scope]:
        """The scopes. Raises Invalid for an unknown one."""
        return tokens.parse_scopes(",".join(self.scopes.data or ()))

    def expires_at(self) -> datetime | None:
        """When it expires; None: never. Raises Invalid."""
        chosen = self.expires.data or ""
        if chosen not in EXPIRY:
            raise Invalid({"expires": "Choose when it expires."})
        return None if chosen == "never" else datetime.now(UTC) + timedelta(days=int(chosen))


def role_from(typed: str | None) -> Role:
    """The role of that name. Raises Invalid."""
    try:
        return Role(typed)
    except ValueError:
        raise Invalid({"role": CHOOSE_ROLE}) from None


def say(form: Form, problems: Mapping[str, str]) -> None:
    """Puts the engine's refusals at the fields they name."""
    for name, sentence in problems.items():
        form[name].errors = [sentence]


def _refuse(problem: str | None) -> None:
    if problem:
        raise ValidationError(problem)
