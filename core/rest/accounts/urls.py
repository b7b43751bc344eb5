from __future__ import annotations

from django.urls import path

from core.rest.accounts import views

urlpatterns = [
    path("auth/login/", views.LoginView.as_view(), name="auth-login"),
    path("auth/register/", views.RegisterView.as_view(), name="auth-register"),
    path("auth/register/read/", views.RegistrationView.as_view(), name="auth-register-read"),
    path("auth/register/confirm/", views.ConfirmRegistrationView.as_view(), name="auth-register-confirm"),
    path("auth/invitations/read/", views.InvitationView.as_view(), name="auth-invitation-read"),
    path("auth/invitations/accept/", views.AcceptInvitationView.as_view(), name="auth-invitation-accept"),
    path("auth/refresh/", views.RefreshView.as_view(), name="auth-refresh"),
    path("auth/logout/", views.LogoutView.as_view(), name="auth-logout"),
    path("auth/change-password/", views.ChangePasswordView.as_view(), name="auth-change-password"),
    path("auth/password-reset/", views.PasswordResetView.as_view(), name="auth-password-reset"),
    path(
        "auth/password-reset/confirm/",
        views.PasswordResetConfirmView.as_view(),
        name="auth-password-reset-confirm",
    ),
    path("auth/switch-company/", views.SwitchCompanyView.as_view(), name="auth-switch-company"),
    path("auth/me/", views.MeView.as_view(http_method_names=["get", "head"]), name="auth-me"),
    path("users/me/", views.MeView.as_view(), name="users-me"),
    path("company/", views.CompanyView.as_view(), name="company"),
    path("api-keys/", views.ApiKeyViewSet.as_view({"get": "list", "post": "create"}), name="api-keys-list"),
    path(
        "api-keys/<str:pk>/rotate/", views.ApiKeyViewSet.as_view({"post": "rotate"}), name="api-keys-rotate"
    ),
]

viewsets = (views.UserViewSet, views.ApiKeyViewSet)
