"""Bodies and answers of accounts: shapes that are no plain entities."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from core.identity.devices import MAX_LENGTH
from core.identity.models import Company, User
from core.identity.operations import MAX_OVERLAP, OpenInvitation, OpenRegistration, SignedInSession
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
    device = _text(
        required=False,
        max_length=MAX_LENGTH,
        allow_blank=True,
        help_text="What an earlier sign-in on this device answered: tries of strangers do not keep it out then.",
    )


class RegisterInput(StrictSerializer):
    company_name = _text()
    slug = _text(required=False, help_text="Made from the name when it is left out.")
    email = _text()
    first_name = _text(required=False, max_length=150, allow_blank=True)
    last_name = _text(required=False, max_length=150, allow_blank=True)


class LinkInput(StrictSerializer):
    token = _text(help_text="From the link in the email.")


class AcceptInput(LinkInput):
    password = serializers.CharField(
        max_length=MAX_PASSWORD,
        trim_whitespace=False,
        write_only=True,
        required=False,
        help_text="The one to choose where `chooses_password`; else the present one, unless the request is signed in.",
    )
    first_name = _text(required=False, max_length=150, allow_blank=True, help_text="Of a new person.")
    last_name = _text(required=False, max_length=150, allow_blank=True, help_text="Of a new person.")


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
    device = serializers.CharField(
        required=False, help_text="After a sign-in by password: keep it and send it with the next one."
    )


class InvitationOutput(serializers.Serializer[Any]):
    email = serializers.EmailField()
    company = CompanyBriefOutput()
    role = serializers.CharField()
    invited_by = serializers.CharField(help_text="Empty when the installation invites.")
    expires_at = serializers.DateTimeField()
    chooses_password = serializers.BooleanField(
        help_text="Whether accepting takes a new password; else the present one, or a request that is signed in."
    )


class RegistrationOutput(serializers.Serializer[Any]):
    email = serializers.EmailField()
    company_name = serializers.CharField()
    chooses_password = serializers.BooleanField(
        help_text="Whether confirming takes a new password; else the present one, or a request that is signed in."
    )


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
        **({"device": session.device} if session.device else {}),
    }


def invitation_document(invitation: OpenInvitation) -> dict[str, Any]:
    return {
        "email": invitation.email,
        "company": _brief(invitation.company),
        "role": invitation.role_name,
        "invited_by": invitation.invited_by,
        "expires_at": invitation.expires_at,
        "chooses_password": invitation.chooses_password,
    }


def registration_document(registration: OpenRegistration) -> dict[str, Any]:
    return {
        "email": registration.email,
        "company_name": registration.company_name,
        "chooses_password": registration.chooses_password,
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
