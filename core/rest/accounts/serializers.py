"""Bodies and answers of accounts: shapes that are no plain entities."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from core.identity.models import Company, User
from core.identity.operations import MAX_OVERLAP, SignedInSession
from core.identity.queries import Profile
from core.rest.serializers import StrictSerializer
from core.tenancy.actors import Actor

MAX_TEXT = 255
# Longer than any password; the limit in bytes is the operation's.
MAX_PASSWORD = 4_096


def _text(**options: Any) -> serializers.CharField:
    return serializers.CharField(**{"max_length": MAX_TEXT, **options})


def _password() -> serializers.CharField:
    return serializers.CharField(max_length=MAX_PASSWORD, trim_whitespace=False, write_only=True)


class LoginInput(StrictSerializer):
    email = _text()
    password = _password()
    company = _text(required=False, help_text="Slug of the company to enter; else the one joined first.")


class RegisterInput(StrictSerializer):
    company_name = _text()
    slug = _text(required=False, help_text="Made from the name when it is left out.")
    email = _text()
    password = _password()
    first_name = _text(required=False, max_length=150, allow_blank=True)
    last_name = _text(required=False, max_length=150, allow_blank=True)


class RefreshInput(StrictSerializer):
    refresh = _text(max_length=4_096)


class ChangePasswordInput(StrictSerializer):
    current_password = _password()
    new_password = _password()


class PasswordResetInput(StrictSerializer):
    email = _text()


class PasswordResetConfirmInput(StrictSerializer):
    token = _text(help_text="From the link in the email.")
    new_password = _password()


class SetPasswordInput(StrictSerializer):
    password = _password()


class SwitchCompanyInput(StrictSerializer):
    company = _text(help_text="Slug of the company to enter.")


class ProfileInput(StrictSerializer):
    first_name = _text(required=False, max_length=150, allow_blank=True)
    last_name = _text(required=False, max_length=150, allow_blank=True)


class CompanyInput(StrictSerializer):
    name = serializers.JSONField(required=False)
    timezone = serializers.JSONField(required=False)
    locale = serializers.JSONField(required=False)
    default_currency = serializers.JSONField(required=False)
    fiscal_year_start_month = serializers.JSONField(required=False)
    settings = serializers.JSONField(required=False)
    version = serializers.IntegerField(required=False, min_value=1)


class ApiKeyInput(StrictSerializer):
    name = _text(max_length=100)
    scopes = serializers.ListField(child=_text(max_length=100), min_length=1, max_length=200)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class RotateInput(StrictSerializer):
    overlap_seconds = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=int(MAX_OVERLAP.total_seconds()),
        help_text="How long the old key goes on; a day when it is left out.",
    )


class UserOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    first_name = serializers.CharField()
    last_name = serializers.CharField()
    full_name = serializers.CharField()


class CompanyBriefOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    slug = serializers.CharField()


class TokensOutput(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds until the access token ends.")
    user = UserOutput()
    company = CompanyBriefOutput()


class MeOutput(serializers.Serializer[Any]):
    user = UserOutput()
    company = CompanyBriefOutput()
    role = serializers.CharField()
    permissions = serializers.ListField(child=serializers.CharField())
    record_scope = serializers.CharField()
    companies = CompanyBriefOutput(many=True)


class CompanyOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    slug = serializers.CharField()
    timezone = serializers.CharField()
    locale = serializers.CharField()
    default_currency = serializers.CharField()
    fiscal_year_start_month = serializers.IntegerField()
    settings = serializers.DictField()
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class NewApiKeyOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    key = serializers.CharField(help_text="The whole key. It is shown this once.")
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)


def user_document(user: User) -> dict[str, Any]:
    return {
        "id": user.pk,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "full_name": user.get_full_name(),
    }


def _brief(company: Any) -> dict[str, Any]:
    return {"id": company.id, "name": company.name, "slug": company.slug}


def tokens_document(session: SignedInSession) -> dict[str, Any]:
    return {
        "access": session.access,
        "refresh": session.refresh,
        "expires_in": session.expires_in,
        "user": user_document(session.user),
        "company": _brief(session.company),
    }


def me_document(profile: Profile, actor: Actor) -> dict[str, Any]:
    return {
        "user": user_document(profile.user),
        "company": _brief(profile.company),
        "role": profile.role_name,
        "permissions": sorted(actor.rights.permissions),
        "record_scope": actor.rights.record_scope,
        "companies": [_brief(company) for company in profile.companies],
    }


def company_document(company: Company) -> dict[str, Any]:
    return dict(CompanyOutput(company).data)
