"""Links that open a file without signing in: signed, short-lived, for mails.

A token names the company, the file, the version of its links and the moment it ends. It is signed with SECRET_KEY and says
nothing that its reader may not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.core import signing

_SALT = "core.files.links"
MAX_TOKEN = 400


@dataclass(frozen=True, slots=True)
class LinkToken:
    company_id: UUID
    file_id: UUID
    link_version: int
    expires_at: datetime

    def sign(self) -> str:
        """The token as it stands in a URL."""
        parts = [
            self.company_id.hex,
            self.file_id.hex,
            self.link_version,
            int(self.expires_at.timestamp()),
        ]
        return signing.Signer(salt=_SALT).sign_object(parts)


def read_token(text: str) -> LinkToken | None:
    """What a token says; none when we did not sign it so."""
    if len(text) > MAX_TOKEN or not text.isascii():
        return None
    try:
        company, file, version, end = signing.Signer(salt=_SALT).unsign_object(text)
        return LinkToken(UUID(company), UUID(file), int(version), datetime.fromtimestamp(int(end), UTC))
    except (signing.BadSignature, ValueError, TypeError):
        return None
