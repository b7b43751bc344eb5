"""Endpoints of accounts. Tokens and keys are never stored for a replay and never cached on their way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from core.access.writing import agreed_version
from core.delivery.operations import confirm_password_reset, request_password_reset
from core.identity import operations, queries
from core.identity.models import ApiKey, Company
from core.identity.rights import MANAGE_USERS
from core.rest.accounts.serializers import (
    AcceptInput,
    ApiKeyInput,
    ChangePasswordInput,
    CompanyInput,
    CompanyOutput,
    InvitationOutput,
    LinkInput,
    LoginInput,
    MeOutput,
    NewApiKeyOutput,
    PasswordResetConfirmInput,
    PasswordResetInput,
    ProfileInput,
    RefreshInput,
    RegisterInput,
    RegistrationOutput,
    RotateInput,
    SetPasswordInput,
    SwitchCompanyInput,
    TokensOutput,
    company_document,
    invitation_document,
    me_document,
    registration_document,
    tokens_document,
)
from core.rest.accounts.shapes import api_key_input, company_input
from core.rest.authentication import BearerAuthentication
from core.rest.schema import documented
from core.rest.views import MEMBER, ApiView
from core.rest.viewsets import EntityViewSet, etag_of, read_if_match
from core.tenancy.context import system_context


class _Session(ApiView):
    """Its operations commit by themselves."""

    commits_itself = True


def _unkept(body: Any, status: int = 200) -> Response:
    return Response(body, status=status, headers={"Cache-Control": "no-store"})


class _Public(_Session):
    public = True

    def get_authenticators(self) -> list[BaseAuthentication]:
        return []


class LoginView(_Public):
    """Sign in with e-mail address and password."""

    @documented(request=LoginInput, response=TokensOutput, errors=(401, 403))
    def post(self, request: Request) -> Response:
        body = LoginInput.read(request.data)
        session = operations.sign_in(
            email=body["email"],
            password=body["password"],
            company_slug=body.get("company"),
            device=body.get("device", ""),
            now=self.now,
        )
        return _unkept(tokens_document(session))


class RegisterView(_Public):
    """Have a link mailed by which a company is founded. Known and unknown addresses answer alike."""

    @documented(request=RegisterInput, status=202, errors=(429,), summary="Ask for a company of your own")
    def post(self, request: Request) -> Response:
        operations.register_company(**RegisterInput.read(request.data), now=self.now)
        return Response(status=202)


class _ByLink(_Public):
    """What somebody does who has opened a link that was mailed."""

    def signed_in_id(self, request: Request) -> UUID | None:
        """Who else the request is signed in as, by a token of their own."""
        with system_context("sign-in", source="api", origin=self.origin):
            found = BearerAuthentication().authenticate(request)
        return found[1].user_id if found else None

    def session(self, joined: operations.Joined) -> Response:
        session = operations.open_session(joined.user, now=self.now, company_slug=joined.company.slug)
        return _unkept(tokens_document(session))


class RegistrationView(_Public):
    """What a link of a registration is for."""

    @documented(request=LinkInput, response=RegistrationOutput, secret=True)
    def post(self, request: Request) -> Response:
        found = operations.find_registration(token=LinkInput.read(request.data)["token"], now=self.now)
        return _unkept(registration_document(found))


class ConfirmRegistrationView(_ByLink):
    """Found the company of an emailed link and sign in as its first admin."""

    @documented(
        request=AcceptInput,
        response=TokensOutput,
        errors=(401, 409, 429),
        summary="Found a company by its link",
    )
    def post(self, request: Request) -> Response:
        body = AcceptInput.read(request.data)
        joined = operations.confirm_registration(
            **body, signed_in_id=self.signed_in_id(request), now=self.now
        )
        return self.session(joined)


class InvitationView(_Public):
    """What a link of an invitation is for."""

    @documented(request=LinkInput, response=InvitationOutput, secret=True)
    def post(self, request: Request) -> Response:
        found = operations.find_invitation(token=LinkInput.read(request.data)["token"], now=self.now)
        return _unkept(invitation_document(found))


class AcceptInvitationView(_ByLink):
    """Join the company of an emailed invitation and sign in to it."""

    @documented(
        request=AcceptInput, response=TokensOutput, errors=(401, 409, 429), summary="Accept an invitation"
    )
    def post(self, request: Request) -> Response:
        body = AcceptInput.read(request.data)
        joined = operations.accept_invitation(**body, signed_in_id=self.signed_in_id(request), now=self.now)
        return self.session(joined)


class RefreshView(_Public):
    """The next pair of tokens. Each refresh token works once; a second use ends the session."""

    @documented(request=RefreshInput, response=TokensOutput, errors=(401,))
    def post(self, request: Request) -> Response:
        body = RefreshInput.read(request.data)
        return _unkept(tokens_document(operations.refresh(token=body["refresh"], now=self.now)))


class LogoutView(_Session):
    """End this session and all its tokens."""

    verbs = {"post": MEMBER}

    @documented(status=204)
    def post(self, request: Request) -> Response:
        operations.sign_out(self.actor, now=self.now)
        return Response(status=204)


class ChangePasswordView(_Session):
    """Set a new password; all other sessions end."""

    verbs = {"post": MEMBER}

    @documented(request=ChangePasswordInput, status=204)
    def post(self, request: Request) -> Response:
        body = ChangePasswordInput.read(request.data)
        operations.change_password(self.actor, **body, now=self.now)
        return Response(status=204)


class PasswordResetView(_Public):
    """Have a link mailed by which a forgotten password is replaced. Known and unknown addresses answer alike."""

    @documented(
        request=PasswordResetInput, status=202, errors=(429,), summary="Ask for a password reset email"
    )
    def post(self, request: Request) -> Response:
        body = PasswordResetInput.read(request.data)
        request_password_reset(email=body["email"], now=self.now)
        return Response(status=202)


class PasswordResetConfirmView(_Public):
    """Set a new password by the token of the email, once. All sessions of the person end."""

    @documented(
        request=PasswordResetConfirmInput, status=204, summary="Set a new password by an emailed token"
    )
    def post(self, request: Request) -> Response:
        body = PasswordResetConfirmInput.read(request.data)
        confirm_password_reset(token=body["token"], new_password=body["new_password"], now=self.now)
        return Response(status=204)


class SwitchCompanyView(_Session):
    """Go on in another of one's companies; this session ends."""

    verbs = {"post": MEMBER}

    @documented(request=SwitchCompanyInput, response=TokensOutput)
    def post(self, request: Request) -> Response:
        body = SwitchCompanyInput.read(request.data)
        session = operations.switch_company(self.actor, company_slug=body["company"], now=self.now)
        return _unkept(tokens_document(session))


class MeView(ApiView):
    """Who is signed in, as what, and where else they could be."""

    verbs = {"get": MEMBER, "patch": MEMBER}

    @documented(response=MeOutput)
    def get(self, request: Request) -> Response:
        return Response(me_document(queries.get_profile(self.actor), self.actor))

    @documented(request=ProfileInput, response=MeOutput)
    def patch(self, request: Request) -> Response:
        changes = ProfileInput.read(request.data, partial=True)
        operations.update_own_profile(self.actor, changes=changes, now=self.now)
        return self.get(request)


class CompanyView(ApiView):
    """The company one works in."""

    verbs = {"get": MEMBER, "patch": MANAGE_USERS}

    @documented(response=CompanyOutput)
    def get(self, request: Request) -> Response:
        return self._answer_with(queries.get_company(self.actor))

    @documented(request=company_input, response=CompanyOutput, versioned=True)
    def patch(self, request: Request) -> Response:
        changes = CompanyInput.read(request.data, partial=True)
        expected = agreed_version(read_if_match(request), changes.pop("version", None))
        company = operations.update_company(
            self.actor, changes=changes, now=self.now, expected_version=expected
        )
        return self._answer_with(company)

    def _answer_with(self, company: Company) -> Response:
        return Response(company_document(company), headers={"ETag": etag_of(company.version)})


class UserViewSet(EntityViewSet):
    """The members of the company, and those invited to it."""

    entity_name = "user"
    action_verbs = {"set_password": "update", "resend_invitation": "update"}

    @documented(request=SetPasswordInput, status=204, secret=True)
    @action(detail=True, methods=["post"], url_path="set-password")
    def set_password(self, request: Request, pk: str) -> Response:
        """Give a member who belongs to this company alone a new password; their sessions end."""
        record = self.view.get(pk, self.records().only("pk"), verb="update")
        body = SetPasswordInput.read(request.data)
        operations.set_member_password(self.actor, user_id=record.pk, password=body["password"], now=self.now)
        return Response(status=204)

    @documented(status=202, errors=(429,))
    @action(detail=True, methods=["post"], url_path="resend-invitation")
    def resend_invitation(self, request: Request, pk: str) -> Response:
        """Mail somebody invited a new link; the old one ends."""
        record = self.view.get(pk, self.records().only("pk"), verb="update")
        operations.resend_invitation(self.actor, invitation_id=record.pk, now=self.now)
        return Response(status=202)


class ApiKeyViewSet(EntityViewSet):
    """Keys for machines. Deleting one revokes it."""

    entity_name = "api_key"
    action_verbs = {"rotate": "update"}

    @documented(request=api_key_input, response=NewApiKeyOutput, status=201, secret=True)
    def create(self, request: Request, **kwargs: Any) -> Response:
        made = operations.create_api_key(self.actor, **ApiKeyInput.read(request.data), now=self.now)
        return self._shown_once(made)

    @documented(request=RotateInput, optional_body=True, response=NewApiKeyOutput, status=201, secret=True)
    def rotate(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """A new key like this one, which goes on for a while."""
        record = self.view.get(pk, self.records().only("pk"), verb="update")
        body = RotateInput.read(request.data)
        overlap = {"overlap": timedelta(seconds=body["overlap_seconds"])} if body else {}
        return self._shown_once(
            operations.rotate_api_key(self.actor, key_id=record.pk, now=self.now, **overlap)
        )

    def _shown_once(self, made: operations.NewApiKey) -> Response:
        key = ApiKey.objects.get(pk=made.id)
        document = NewApiKeyOutput(
            {
                "id": key.pk,
                "key": made.key,
                "name": key.name,
                "scopes": key.scopes,
                "expires_at": key.expires_at,
            }
        ).data
        answer = _unkept(document, status=201)
        answer["Location"] = self.request.build_absolute_uri(f"/api/v1/api-keys/{key.pk}/")
        return answer
