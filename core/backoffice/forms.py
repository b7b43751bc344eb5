"""Forms made from an entity's fields: input is read by `EntityView.read_input`, as the API reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.utils import timezone
from django.utils.html import format_html
from unfold.widgets import (
    UnfoldAdminAutocompleteWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from core.access import EntityView, view
from core.backoffice.values import country_name, names_of, value_of
from core.changes.rows import EXPECTED_VERSION
from core.entities import CUSTOM_FIELDS, Field, entities
from core.entities.codes import COUNTRY_CODES, CURRENCY_CODES
from core.entities.kinds import BadValue, Kind
from core.kernel.errors import DomainError, Fault, Invalid, Stale
from core.tenancy.actors import Actor

VERSION = "version"
BLANK = ("", "—")
LOCAL_MINUTE = "%Y-%m-%dT%H:%M"


class RelationSelect(UnfoldAdminAutocompleteWidget):
    """A select that asks the server for records as one types; only the chosen one is in the page."""

    # The theme's own option offers nothing but a marker for its script.
    option_template_name = "django/forms/widgets/select_option.html"

    def __init__(self, to: str, actor: Actor) -> None:
        self.to = to
        self.actor = actor
        super().__init__()
        # By path, since forms are made for requests and tests alike.
        self.attrs["data-ajax--url"] = f"/admin/options/{to}/"
        self.attrs["data-placeholder"] = "Search…"

    def optgroups(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None
    ) -> list[tuple[str | None, list[dict[str, Any]], int]]:
        entity = entities[self.to]
        field = view(entity, self.actor).fields["id"]
        known: dict[str, str] = {}
        for text in (str(item) for item in value if item):
            try:
                record_id = field.type.from_text(field, text)
            except BadValue:
                # `read_input` says so at the field.
                continue
            known[text] = names_of(self.actor, entity, [record_id]).get(record_id, "(not visible to you)")
        self.choices = [("", ""), *known.items()]
        return super().optgroups(name, list(known), attrs)


class Read(forms.CharField):
    """A control whose text `read_input` judges; Django checks nothing."""

    def validate(self, value: Any) -> None:
        pass

    def run_validators(self, value: Any) -> None:
        pass


class _Switch(forms.BooleanField):
    def validate(self, value: Any) -> None:
        pass


def _input(kind: str = "text", **attrs: Any) -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(attrs={"type": kind, **attrs})


def _select(choices: Iterable[tuple[str, str]]) -> UnfoldAdminSelectWidget:
    return UnfoldAdminSelectWidget(choices=[BLANK, *choices])


def _widget(field: Field, actor: Actor) -> forms.Widget:
    match field.kind:
        case Kind.LONG_TEXT:
            return UnfoldAdminTextareaWidget(attrs={"rows": 4})
        case Kind.JSON:
            return UnfoldAdminTextareaWidget(attrs={"rows": 4, "spellcheck": "false"})
        case Kind.EMAIL:
            return _input("email", autocomplete="off")
        case Kind.PHONE:
            return _input("tel", autocomplete="off")
        case Kind.URL:
            return _input("text", inputmode="url", autocomplete="off")
        case Kind.COUNTRY:
            named = ((code, country_name(code)) for code in COUNTRY_CODES)
            return _select(sorted(named, key=lambda item: item[1]))
        case Kind.CURRENCY:
            return _select((code, code) for code in sorted(CURRENCY_CODES))
        case Kind.CHOICE:
            return _select(field.choices)
        case Kind.INTEGER:
            return _input("text", inputmode="numeric", autocomplete="off")
        case Kind.DECIMAL | Kind.MONEY:
            return _input("text", inputmode="decimal", autocomplete="off")
        case Kind.DATE:
            return _input("date")
        case Kind.DATETIME:
            return _input("datetime-local")
        case Kind.RELATION | Kind.PERSON:
            return RelationSelect(field.to, actor)
        case Kind.TAGS:
            return _input("text", placeholder="Separated by commas", autocomplete="off")
        case _:
            return _input("text", autocomplete="off")


def control(field: Field, actor: Actor) -> forms.Field:
    """The form field of an entity's field."""
    help_text = field.description
    if field.kind is Kind.BOOLEAN:
        return _Switch(
            label=field.label,
            help_text=help_text,
            required=False,
            show_hidden_initial=True,
            widget=UnfoldBooleanSwitchWidget(),
        )
    return Read(
        label=field.label,
        help_text=help_text,
        required=field.required,
        strip=False,
        # A hidden copy says what the person saw, so that only what they changed is written.
        show_hidden_initial=True,
        widget=_widget(field, actor),
    )


def _plain(value: Decimal, places: int) -> str:
    """Without the zeros that only the column's scale adds."""
    short = value.normalize()
    exponent = short.as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) else 0
    return f"{short:.{max(digits, places)}f}"


def as_text(field: Field, value: Any) -> Any:
    """A stored value as its control shows it."""
    if value is None:
        return False if field.kind is Kind.BOOLEAN else ""
    match field.kind:
        case Kind.BOOLEAN:
            return bool(value)
        case Kind.DATETIME:
            return timezone.localtime(value).strftime(LOCAL_MINUTE)
        case Kind.DATE:
            return value.isoformat()
        case Kind.DECIMAL | Kind.MONEY:
            return _plain(Decimal(value), 2 if field.kind is Kind.MONEY else 0)
        case Kind.TAGS:
            return ", ".join(value)
        case Kind.JSON:
            return json.dumps(value, ensure_ascii=False, indent=2)
        case _:
            return str(value)


class _BadJson(Exception):
    pass


def as_json(field: Field, text: Any) -> Any:
    """A control's text as a client of the API would send it; nothing where it is empty.

    Raises: _BadJson.
    """
    if field.kind is Kind.BOOLEAN:
        return bool(text)
    text = str(text)
    if not field.type.is_text:
        text = text.strip()
    if text == "":
        if field.nullable:
            return None
        return {Kind.TAGS: [], Kind.JSON: {}}.get(field.kind, "")
    match field.kind:
        case Kind.INTEGER:
            return int(text) if text.lstrip("+-").isdecimal() and len(text) < 19 else text
        case Kind.DATETIME:
            try:
                local = datetime.fromisoformat(text)
            except ValueError:
                return text
            return (timezone.make_aware(local) if local.tzinfo is None else local).isoformat()
        case Kind.TAGS:
            return [part.strip() for part in text.split(",") if part.strip()]
        case Kind.JSON:
            try:
                return json.loads(text)
            except ValueError:
                raise _BadJson from None
        case _:
            return text


class EntityForm(forms.ModelForm):
    """A record's editable fields. `values` is what an operation takes, once the form is valid.

    `refusal` is what the operation answered the first time; the form then shows it at its fields.
    """

    view: ClassVar[EntityView]
    written: ClassVar[Mapping[str, Field]]
    refusal: DomainError | None = None
    refusal_note: ClassVar[str] = ""
    values: dict[str, Any]

    def __init__(
        self,
        *args: Any,
        given: Mapping[str, Any] | None = None,
        comes_with: str = "",
        **kwargs: Any,
    ) -> None:
        """`given` are values of a new record that the page knows and the person does not enter.

        `comes_with` is its relation to what is written just before, and filled in then.
        """
        self.given = dict(given or {})
        self.comes_with = comes_with
        record = kwargs.get("instance")
        self.is_new = record is None or record._state.adding
        if self.is_new:
            defaults = {name: as_text(field, field.default) for name, field in self.written.items()}
            owner = self.view.entity.owner
            if owner is not None:
                defaults[owner.name] = str(self.view.actor.user_id or "")
            kwargs["initial"] = {**defaults, **(kwargs.get("initial") or {})}
        else:
            shown = {name: as_text(field, value_of(record, field)) for name, field in self.written.items()}
            kwargs["initial"] = {
                **shown,
                VERSION: getattr(record, VERSION, None),
                **(kwargs.get("initial") or {}),
            }
        super().__init__(*args, **kwargs)
        if self.refusal is not None:
            self.refuse(self.refusal)

    def refuse(self, refusal: DomainError) -> None:
        """Show at the fields what the operation answered."""
        self.refusal = refusal
        if self.is_bound and isinstance(refusal, Stale) and not self.is_new:
            self._rebase()

    def _rebase(self) -> None:
        """Take over what others changed meanwhile where this person did not touch it, and go on from there."""
        data: Any = self.data.copy()  # type: ignore[attr-defined]
        for name in self.written:
            if name not in self.changed_data:
                data[self.add_prefix(name)] = self.get_initial_for_field(self.fields[name], name)
            data[self.add_initial_prefix(name)] = self.get_initial_for_field(self.fields[name], name)
        data[VERSION] = self.initial[VERSION]
        self.data = data
        self.__dict__.pop("changed_data", None)

    def clean(self) -> dict[str, Any]:
        document: dict[str, Any] = dict(self.given) if self.is_new else {}
        for name, field in self.written.items():
            text = self.cleaned_data.get(name, "")
            if self.is_new and text in ("", None):
                continue
            if not self.is_new and name not in self.changed_data:
                continue
            try:
                _put(document, field, as_json(field, text))
            except _BadJson:
                self.add_error(name, "This is not JSON.")
        try:
            self.values = self.view.read_input(
                document,
                partial=not self.is_new,
                operation="create" if self.is_new else "update",
                comes_later=self.comes_with,
            )
        except Invalid as refusal:
            self._place(refusal.faults)
        if not self.is_new and self.cleaned_data.get(VERSION):
            self.values = {**getattr(self, "values", {}), EXPECTED_VERSION: self.cleaned_data[VERSION]}
        if self.refusal is not None:
            self._place(self.refusal.faults)
            if self.refusal_note or not self.refusal.faults:
                self.add_error(None, self.refusal_note or self.refusal.detail)
        return self.cleaned_data

    def _place(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            name = fault.path
            if name not in self.written:
                name = name.split(".")[0].removesuffix("_id")
            if name in self.written:
                self.add_error(name, fault.detail)
            else:
                self.add_error(
                    None, format_html("{}: {}", fault.path, fault.detail) if fault.path else fault.detail
                )

    def _post_clean(self) -> None:
        """The operation checks the record, not the model."""

    def validate_unique(self) -> None:
        """The operation does."""


def _put(document: dict[str, Any], field: Field, value: Any) -> None:
    """Set a field's value in a document as a client of the API would send it."""
    if field.custom_key:
        document.setdefault(CUSTOM_FIELDS, {})[field.custom_key] = value
    else:
        document[field.name] = value


Control = Callable[[Field, Actor], forms.Field]


def form_class(
    seen: EntityView,
    names: Iterable[str],
    *,
    refusal: DomainError | None = None,
    note: str = "",
    special: Mapping[str, Control] | None = None,
) -> type[EntityForm]:
    """The form of the fields `names`; `special` makes the controls that are not those of the field's kind."""
    written = {name: seen.fields[name] for name in names}
    makers: Mapping[str, Control] = special or {}
    controls: dict[str, forms.Field] = {
        name: makers.get(name, control)(field, seen.actor) for name, field in written.items()
    }
    if VERSION in seen.fields:
        controls[VERSION] = forms.IntegerField(required=False, widget=forms.HiddenInput())
    meta = type("Meta", (), {"model": seen.entity.model, "fields": ()})
    return type(
        "EntityForm",
        (EntityForm,),
        {
            "view": seen,
            "written": written,
            "refusal": refusal,
            "refusal_note": note,
            "Meta": meta,
            **controls,
        },
    )


class ActionForm(forms.Form):
    """Fields of a guided action (assign, convert, move), given as entity fields or plain form fields."""

    def show_faults(self, refusal: DomainError, aliases: Mapping[str, str] | None = None) -> None:
        """Put an operation's refusal at the fields it speaks of."""
        for fault in refusal.faults:
            name = (aliases or {}).get(fault.path, fault.path.split(".")[0])
            if name in self.fields:
                self.add_error(name, fault.detail)
            else:
                what = fault.path.rpartition(".")[2].replace("_", " ").capitalize()
                self.add_error(None, f"{what}: {fault.detail}" if what else fault.detail)
        if not refusal.faults:
            self.add_error(None, refusal.detail)


def text_input(kind: str = "text", **attrs: Any) -> forms.Widget:
    return _input(kind, **attrs)


def password_input(autocomplete: str) -> forms.Widget:
    """Never filled in again by the server."""
    return UnfoldAdminPasswordWidget(attrs={"autocomplete": autocomplete})


def search_select(to: str, actor: Actor) -> forms.Widget:
    return RelationSelect(to, actor)


def choice_select(choices: Iterable[tuple[str, str]]) -> forms.Widget:
    return UnfoldAdminSelectWidget(choices=list(choices))
