"""The tables of core, gathered for Django; each lives in its subject."""

from core.changes.models import ChangeContext, ChangeLog, Consumer, ParkedChange  # noqa: F401
from core.delivery.models import (  # noqa: F401
    EmailFile,
    Notification,
    NotificationPreference,
    OutgoingEmail,
)
from core.files.models import StoredFile  # noqa: F401
from core.identity.models import (  # noqa: F401
    ApiKey,
    AuthSession,
    Company,
    Invitation,
    LoginThrottle,
    Membership,
    Person,
    Registration,
    Role,
    User,
)
from core.jobs.models import Heartbeat, Job, Slot  # noqa: F401
from core.rest.models import IdempotentAnswer  # noqa: F401
