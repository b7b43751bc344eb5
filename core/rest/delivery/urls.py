from __future__ import annotations

from django.urls import path

from core.rest.delivery import views

urlpatterns = [
    path("notifications/", views.NotificationsView.as_view(), name="notifications"),
    path("notifications/unread-count/", views.UnreadCountView.as_view(), name="notifications-unread-count"),
    path("notifications/read-all/", views.ReadAllView.as_view(), name="notifications-read-all"),
    path("notifications/<uuid:notification_id>/read/", views.ReadView.as_view(), name="notifications-read"),
    path("me/notification-preferences/", views.PreferencesView.as_view(), name="me-notification-preferences"),
]
