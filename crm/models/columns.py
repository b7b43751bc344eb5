"""Columns that several tables share, so that each is defined once."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models.expressions import RawSQL

# Currencies without a minor unit (ISO 4217).
WHOLE_CURRENCIES = (
    "'BIF','CLP','DJF','GNF','ISK','JPY','KMF','KRW','PYG','RWF','UGX','UYI','VND','VUV','XAF','XOF','XPF'"
)


def text(max_length: int) -> Any:
    return models.CharField(max_length=max_length, blank=True, default="", db_default="")


def long_text() -> Any:
    return models.TextField(blank=True, default="", db_default="")


def choice(choices: type[models.TextChoices], default: str = "") -> Any:
    """A value of `choices`; without a default it may stay blank."""
    return models.CharField(
        max_length=24, choices=choices.choices, blank=True, default=default, db_default=default
    )


def flag(default: bool = False) -> Any:
    return models.BooleanField(default=default, db_default=default)


def money() -> Any:
    return models.DecimalField(max_digits=18, decimal_places=2, null=True, blank=True)


def one_of(table: str, **columns: type[models.TextChoices]) -> list[models.CheckConstraint]:
    """The columns hold nothing but their choices; one whose default is blank may be blank."""
    return [
        models.CheckConstraint(
            name=f"{table}_{column}_choice",
            condition=models.Q(**{f"{column}__in": ["", *choices.values]}),
            violation_error_code="not_a_choice",
            violation_error_message=f"Choose one of: {', '.join(choices.values)}.",
        )
        for column, choices in columns.items()
    ]


def not_negative(table: str, *columns: str) -> list[models.CheckConstraint]:
    return [
        models.CheckConstraint(
            name=f"{table}_{column}_not_negative",
            condition=models.Q(**{f"{column}__gte": 0}),
            violation_error_code="too_small",
            violation_error_message="At least 0 is expected.",
        )
        for column in columns
    ]


def not_blank(table: str, column: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        name=f"{table}_{column}_not_blank",
        condition=~models.Q(**{column: ""}),
        violation_error_code="required",
        violation_error_message="This field is required.",
    )


def percentage(table: str, column: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        name=f"{table}_{column}_percent",
        condition=models.Q(**{f"{column}__range": (0, 100)}),
        violation_error_code="out_of_range",
        violation_error_message="A number from 0 to 100 is expected.",
    )


def generated(sql: str, output_field: models.Field) -> Any:
    """A stored column that PostgreSQL computes from columns of the same row that are not generated."""
    expression = RawSQL(sql, [])
    return models.GeneratedField(expression=expression, output_field=output_field, db_persist=True)


def generated_text(sql: str, max_length: int = 255) -> Any:
    return generated(sql, models.CharField(max_length=max_length))


def squeezed(column: str) -> str:
    """For comparison: lower case, one space between words."""
    return f"lower(btrim(regexp_replace({column}, '[[:space:]]+', ' ', 'g')))"


def lowered(column: str) -> str:
    return f"lower(btrim({column}))"


def digits(column: str) -> str:
    return f"regexp_replace({column}, '[^0-9]', '', 'g')"


def domain(column: str) -> str:
    """The host of a web address, without `www.`."""
    bare = f"regexp_replace(lower(btrim({column})), '^([a-z]+://)?(www[.])?', '')"
    return f"regexp_replace({bare}, '[/:?#].*$', '')"


def joined_name(first: str, last: str) -> str:
    return f"btrim({first} || ' ' || {last})"


def search_vector(**weights: tuple[str, ...]) -> Any:
    """What full-text search reads: columns by weight, A the most.

    Punctuation becomes space, so that the parts of addresses and codes are words as in the searcher's query.
    """

    def words(column: str) -> str:
        return f"to_tsvector('simple'::regconfig, translate({column}, '@._-/:+&#''', '          '))"

    parts = [
        f"setweight({words(column)}, '{weight}')" for weight, names in weights.items() for column in names
    ]
    return generated(" || ".join(parts), SearchVectorField())
