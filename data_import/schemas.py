"""The settings of an import, as templates and jobs keep them in JSON columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.kernel.errors import Fault, Invalid
from data_import.engine.dates import BadFormat, date_format
from data_import.engine.detect import Hints
from data_import.engine.limits import MAX_COLUMNS

MAX_RULES = 500

Name = Annotated[str, Field(max_length=255)]
Words = dict[Annotated[str, Field(max_length=1_000)], Annotated[str, Field(max_length=1_000)]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NumberFormat(_Part):
    """The signs that one column uses in numbers."""

    decimal: Literal[".", ","] = "."
    grouping: Literal["", ",", ".", " ", "'"] = ""


class Options(_Part):
    """How to read the file and what to put where it says nothing.

    `date_formats` and `number_formats` go by column, `null_words` and `value_maps` by field or column, `defaults` by
    field; a default may hold `{column}` of the file, which makes it a pattern.
    """

    delimiter: str | None = None
    quote: str | None = None
    encoding: Annotated[str, Field(max_length=40)] | None = None
    header_row: Annotated[int, Field(ge=0, le=50)] | None = None
    has_header: bool | None = None
    date_formats: dict[Name, list[str]] = {}
    date_order: Literal["dmy", "mdy"] | None = None
    number_formats: dict[Name, NumberFormat] = {}
    null_words: dict[Name, list[Annotated[str, Field(max_length=1_000)]]] = {}
    value_maps: dict[Name, Words] = {}
    defaults: dict[Name, Annotated[str, Field(max_length=10_000)]] = {}
    timezone: Annotated[str, Field(max_length=64)] | None = None

    @field_validator("date_formats", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {column: [given] if isinstance(given, str) else given for column, given in value.items()}
        return value

    @field_validator("date_formats")
    @classmethod
    def _known_formats(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        for formats in value.values():
            if not 1 <= len(formats) <= 10:
                raise ValueError("A column has 1 to 10 date formats.")
            for text in formats:
                try:
                    date_format(text)
                except BadFormat as bad:
                    raise ValueError(f"{text!r}: {bad}") from None
        return value

    @property
    def hints(self) -> Hints:
        return Hints(
            encoding=self.encoding,
            delimiter=self.delimiter,
            quote=self.quote,
            header_row=self.header_row,
            has_header=self.has_header,
        )


class ValidationRule(_Part):
    """What a field's values must meet beyond its kind. `length` and `range` take `min` and `max`."""

    field: Name
    rule: Literal["required", "length", "range", "regex", "one_of", "email", "url", "unique"]
    min: Annotated[float, Field(allow_inf_nan=False)] | None = None
    max: Annotated[float, Field(allow_inf_nan=False)] | None = None
    pattern: Annotated[str, Field(max_length=1_000)] | None = None
    values: list[Annotated[str, Field(max_length=1_000)]] | None = None


class ImportSettings(_Part):
    """Everything that decides what a file's rows become, besides the entity."""

    field_mapping: dict[Name, list[Name]] = {}
    transformation_rules: list[dict[str, Any]] = Field(default=[], max_length=MAX_RULES)
    validation_rules: list[ValidationRule] = Field(default=[], max_length=MAX_RULES)
    required_fields: list[Name] = Field(default=[], max_length=MAX_RULES)
    options: Options = Options()
    mode: Literal["create", "update", "upsert"] = "create"
    match_on: Name = ""

    @field_validator("field_mapping", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            if len(value) > MAX_COLUMNS:
                raise ValueError(f"At most {MAX_COLUMNS} columns are mapped.")
            return {column: [given] if isinstance(given, str) else given for column, given in value.items()}
        return value

    @property
    def field_mapping_targets(self) -> frozenset[str]:
        """Every field that a column goes to."""
        return frozenset(name for names in self.field_mapping.values() for name in names)


SETTING_NAMES = tuple(ImportSettings.model_fields)


def read_settings(document: Mapping[str, Any]) -> ImportSettings:
    """Raises: Invalid with every fault and its path."""
    try:
        return ImportSettings.model_validate(dict(document))
    except ValidationError as error:
        raise Invalid(
            faults=[
                Fault(
                    ".".join(str(part) for part in fault["loc"]),
                    {"extra_forbidden": "unknown_field", "missing": "required"}.get(fault["type"], "invalid"),
                    fault["msg"].removeprefix("Value error, "),
                )
                for fault in error.errors(include_url=False, include_context=False, include_input=False)
            ]
        ) from None


def settings_of(record: Any) -> ImportSettings:
    """The settings that a job or template holds."""
    return read_settings({name: getattr(record, name) for name in SETTING_NAMES})
