"""Links of invitations and registrations leave by mail."""

from core.delivery.operations.invitations import mail_invitations, mail_registrations
from core.identity.operations.proof import LINK_MAILERS

LINK_MAILERS.register("invitation", mail_invitations)
LINK_MAILERS.register("registration", mail_registrations)
