"""What the back office's templates need."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.db.models import Model
from django.utils.html import format_html

from core.access import view
from core.backoffice.values import Shown, name_of, show_moment, show_number
from core.entities.registry import entity_of_model
from core.tenancy.context import current

register = template.Library()
VEGA = "backoffice/vega.js"


@register.filter
def moment(value: datetime) -> str:
    return show_moment(value)


@register.filter
def number(value: int) -> str:
    return show_number(value)


@register.filter
def initials(name: str) -> str:
    return "".join(part[0] for part in name.split()[:2]).upper()


@register.filter
def admin_urlname_of(opts: Any, page: str) -> str:
    return f"admin:{opts.app_label}_{opts.model_name}_{page}"


@register.filter
def named(record: Model) -> str:
    """A record's name, of the fields the person sees."""
    entity, actor = entity_of_model(type(record)), current().actor
    return name_of(view(entity, actor), record) if entity is not None and actor is not None else str(record)


@register.filter
def shown_by(record: Model, shown: Shown) -> str:
    return shown(record)


@register.filter
def has_bin(record: Model) -> bool:
    entity = entity_of_model(type(record))
    return entity is not None and entity.is_soft_deleted


@register.simple_tag
def vega_script() -> str:
    """The charts' script, where it has been built; without it the tables speak for themselves."""
    if finders.find(VEGA) is None and not staticfiles_storage.exists(VEGA):
        return ""
    return format_html('<script src="{}" defer></script>', staticfiles_storage.url(VEGA))
