"""Every write of mails and notifications."""

from core.delivery.operations.notifications import mark_all_read, mark_read, notify, set_preferences
from core.delivery.operations.outbox import Attachment, NewMail, send_mail, send_many
from core.delivery.operations.password_reset import confirm_password_reset, request_password_reset

__all__ = [
    "Attachment",
    "NewMail",
    "confirm_password_reset",
    "mark_all_read",
    "mark_read",
    "notify",
    "request_password_reset",
    "send_mail",
    "send_many",
    "set_preferences",
]
