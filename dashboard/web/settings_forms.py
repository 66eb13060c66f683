"""Forms of the settings: what was typed, parsed. The rules are the engine's; what it refuses is put at the fields."""

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
    """What one is called."""

    name = StringField("Name", render_kw=ACCOUNT_NAME)


class InviteForm(Form):
    """Who is invited, and as what; all that is wrong is said at once."""

    name = StringField("Name", render_kw=ACCOUNT_NAME)
    email = EmailField("Email")
    role = StringField("Role")

    def validate_name(self, field: StringField) -> None:
        """The engine's rule."""
        _refuse(accounts.name_problem((field.data or "").strip()))

    def validate_email(self, field: EmailField) -> None:
        """The engine's rule, of the address in its kept spelling."""
        _refuse(accounts.email_problem(accounts.normalise_email(field.data or "")))

    def validate_role(self, field: StringField) -> None:
        """One of the roles."""
        _refuse(None if field.data in [role.value for role in Role] else CHOOSE_ROLE)


class NewPasswordForm(Form):
    """A password, typed twice, for nobody sees what they type. Names with “password” in them are never shown again.

    `owner` is whose it is to be, for the engine's rule: nobody's password is what they are called.
    """

    owner: Account | None = None

    password = PasswordField(
        "New password",
        description=f"At least {passwords.MIN_PASSWORD} characters. A few unrelated words work well.",
    )
    password_again = PasswordField("Repeat new password")

    def validate_password(self, field: PasswordField) -> None:
        """The engine's rule, before a password is looked at or a link is used up."""
        owner = (self.owner.email, self.owner.name) if self.owner else ()
        _refuse(passwords.problem(field.data or "", *owner, before=self.password_before()))

    def password_before(self) -> str:
        """The one that it replaces, where it is known."""
        return ""

    def validate_password_again(self, field: PasswordField) -> None:
        """Both are the same."""
        differs = not self.password.errors and field.data != self.password.data
        _refuse("The passwords do not match." if differs else None)


class ChangePasswordForm(NewPasswordForm):
    """A new password, and the one until now."""

    old_password = PasswordField("Current password")

    def password_before(self) -> str:
        """What was typed as it: it is not looked at before the new one can be one."""
        return self.old_password.data or ""

    def validate_old_password(self, field: PasswordField) -> None:
        """Something was typed; whether it is right costs an attempt."""
        _refuse(None if field.data else "Enter your current password.")


class TokenForm(Form):
    """A token's name, its scopes, and in how many days it expires."""

    name = StringField("Name", render_kw={"maxlength": tokens.MAX_NAME})
    scopes = SelectMultipleField("Scopes", validate_choice=False, choices=list(Scope))
    expires = StringField("Expires", default="90")

    def chosen_scopes(self) -> list[Scope]:
        """The scopes. Raises Invalid: one that there is not."""
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
    """Puts what the engine refused at the fields that it names."""
    for name, sentence in problems.items():
        form[name].errors = [sentence]


def _refuse(problem: str | None) -> None:
    if problem:
        raise ValidationError(problem)
