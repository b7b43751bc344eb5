"""Kinds of notifications. An app registers its own in `extensions.py`; each member chooses the channels of each kind."""

from __future__ import annotations

from dataclasses import dataclass

from core.kernel.registry import Registry

IN_APP, EMAIL = "in_app", "email"
CHANNELS = (IN_APP, EMAIL)


@dataclass(frozen=True)
class NotificationKind:
    """One kind: `label` and `description` are what people choose by; `channels` hold until they have chosen."""

    name: str
    label: str
    description: str
    channels: tuple[str, ...] = (IN_APP,)


# By name, such as "import.finished".
NOTIFICATION_KINDS: Registry[NotificationKind] = Registry("notification kind")


def register_notification_kind(kind: NotificationKind) -> NotificationKind:
    """Raises: DuplicateEntry, RegistryFrozen, ValueError for a channel that does not exist."""
    if unknown := set(kind.channels) - set(CHANNELS):
        raise ValueError(f"{kind.name}: no such channel: {', '.join(sorted(unknown))}")
    return NOTIFICATION_KINDS.register(kind.name, kind)
