"""What imports plug into the registries below."""

from core.delivery.kinds import NotificationKind, register_notification_kind

IMPORT_FINISHED = register_notification_kind(
    NotificationKind(
        name="import.finished",
        label="Import finished",
        description="An import you started has ended: what came of it, and whether rows need your attention.",
    )
)
