"""Mails that the product itself writes: a pair of templates each, `mail/<name>.txt` and `mail/<name>.html`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string


def render_mail(name: str, context: Mapping[str, Any]) -> tuple[str, str]:
    """The text and the html of a system mail."""
    known = {"public_url": settings.PUBLIC_URL, **context}
    text = render_to_string(f"mail/{name}.txt", known).strip() + "\n"
    return text, render_to_string(f"mail/{name}.html", known)
