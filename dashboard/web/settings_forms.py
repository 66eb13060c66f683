"""Forms of the settings: what was typed, parsed. The rules are the engine's; what it refuses is put at the fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from wtforms import EmailField, Form, PasswordField, SelectMultipleField, StringField, ValidationError

from dashboard.onboarding.errors import Invalid
from dashboard.staff import passwords, tokens
from dashboard.staff.permissions import Role, Scope

EXPIRY: Mapping[str, str] = {"30": "In 30 days", "90": "In 90 days", "365": "In a year", "never": "Never"}


class NameForm(Form):
    """What one is called."""

    name = StringField("Name")


class InviteForm(Form):
    """Who is invited, and as what."""

    name = StringField("Name")
    email = EmailField("Email")
    role = StringField("Role")


class NewPasswordForm(Form):
    """A password, typed twice, for nobody sees what they type."""

    password = PasswordField("New password")
    again = PasswordField("The same again")

    def validate_password(self, field: PasswordField) -> None:
        """The engine's rule, before anything is looked up."""
        if problem := passwords.problem(field.data or ""):
            raise ValidationError(problem)

    def validate_again(self, field: PasswordField) -> None:
        """Both are the same."""
        if not self.password.errors and field.data != self.password.data:
            raise ValidationError("This is not what you typed above.")


class ChangePasswordForm(NewPasswordForm):
    """A new password, and the one until now."""

    old = PasswordField("Password until now")

    def validate_old(self, field: PasswordField) -> None:
        """Something was typed; whether it is right costs an attempt."""
        if not field.data:
            raise ValidationError("Enter the password that you have now.")


class TokenForm(Form):
    """A token's name, its scopes, and in how many days it expires."""

    name = StringField("Name")
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
        raise Invalid({"role": "Choose a role."}) from None


def say(form: Form, problems: Mapping[str, str]) -> None:
    """Puts what the engine refused at the fields that it names."""
    for name, sentence in problems.items():
        form[name].errors = [sentence]
