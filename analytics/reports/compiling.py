"""One statement for a pivot: cells, all subtotals and the grand total by GROUPING SETS over the caller's visible records.

The rows of the statement are, for each combination of a beginning of the rows' dimensions with one of the columns', the
groups of that combination. Nothing is ever added up from displayed cells: an average of a subtotal is the average of its
records, and a count of a total counts each record once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from analytics.reports.engine.layout import OTHER
from analytics.reports.pivots import Definition, Dimension, Measure, Place
from core.access.output import rows_of
from core.access.view import EntityView
from core.entities import Entity, Field, entities
from core.entities.kinds import Kind

# Groups that one answer may have, totals included.
MAX_GROUPS = 100_000

_TEXTS = (Kind.TEXT, Kind.CHOICE, Kind.CURRENCY, Kind.COUNTRY, Kind.EMAIL, Kind.PHONE, Kind.URL)
_SPANS = ("year", "quarter", "month", "week")


@dataclass(frozen=True)
class Facts:
    """What a company says about days and money."""

    company_id: Any
    zone: str
    currency: str
    fiscal_start: int


@dataclass
class Sql:
    """A growing statement: its text, and the parameters in the order in which they stand in it."""

    text: str = ""
    params: list[Any] = field(default_factory=list)

    def add(self, text: str, params: Sequence[Any] = ()) -> Sql:
        self.text += text
        self.params += params
        return self


@dataclass(frozen=True)
class Compiled:
    """`levels` of each group in `statement`'s first column: bit i is set where dimension i is summed over."""

    statement: str
    params: tuple[Any, ...]
    # The statement that selects ids of records and keys, for drilling down.
    base: str
    base_params: tuple[Any, ...]
    # The dimensions of which only the largest are kept.
    tops: frozenset[int]


class Compiler:
    """Makes the statement of one definition. `compile` gives None where no record can match."""

    def __init__(self, definition: Definition, facts: Facts, records: QuerySet[Any]) -> None:
        self.definition = definition
        self.facts = facts
        self.records = records
        self.joins: dict[tuple[str, str], str] = {}
        self.joined = Sql()

    def compile(self) -> Compiled | None:
        source = rows_of(self.records)
        if source is None:
            return None
        definition = self.definition
        keys = [self.key(item) for item in definition.dimensions]
        values = [self.value(item) for item in definition.measures]
        amounts = [self.money_lost(item) for item in definition.measures]
        lost = [item for item in amounts if item is not None]
        base = Sql("WITH src AS MATERIALIZED (" if definition.fans_out else "WITH src AS (")
        base.add(source[0], source[1]).add(")")
        if definition.fans_out:
            base.add(", ").add(*self.parts())
        base.add(", base AS (SELECT s.id AS rid")
        for number, key in enumerate(keys):
            base.add(f", {key.text} AS k{number}", key.params)
        for number, value in enumerate(values):
            base.add(f", {value.text} AS m{number}", value.params)
        tests = " OR ".join(item.text for item in lost) or "false"
        base.add(f", {tests} AS lost", [param for item in lost for param in item.params])
        base.add(" FROM src s")
        if definition.fans_out:
            base.add(" JOIN parts ON parts.part_of = s.id LEFT JOIN lines l ON l.id = parts.line_id")
        base.add(self.joined.text, self.joined.params).add(")")
        keyed = self.keyed()
        base.add(keyed.text, keyed.params)
        whole = Sql(base.text, list(base.params))
        whole.add(*self.grouped())
        tops = frozenset(place for place, item in enumerate(definition.dimensions) if item.top)
        return Compiled(whole.text, tuple(whole.params), base.text, tuple(base.params), tops)

    # --- where values lie ---------------------------------------------------------------------------------------

    def alias(self, place: Place) -> str:
        """The alias of the rows that hold the field; joins what lies on the way, those that the caller sees alone."""
        at = "l" if place.of_lines else "s"
        for relation, behind in place.steps:
            at = self.join(at, relation, behind)
        return at

    def join(self, at: str, relation: Field, behind: EntityView) -> str:
        known = self.joins.get((at, relation.name))
        if known is not None:
            return known
        alias = f"r{len(self.joins)}"
        self.joins[(at, relation.name)] = alias
        rows = rows_of(behind.records())
        if rows is None:
            self.joined.add(f" LEFT JOIN (SELECT NULL::uuid AS id WHERE false) {alias} ON true")
        else:
            self.joined.add(f" LEFT JOIN ({rows[0]}) {alias} ON {alias}.id = {_own(relation, at)}", rows[1])
        return alias

    # --- dimensions ---------------------------------------------------------------------------------------------

    def key(self, dimension: Dimension) -> Sql:
        """What a dimension groups by. No value, an empty text and a relation to what is not visible are one: null."""
        asked = dimension.field
        at = self.alias(dimension.place)
        own = _own(asked, at)
        if asked.is_relation:
            return Sql(f"{self.join(at, asked, dimension.target)}.id" if dimension.target else own)
        if dimension.bucket:
            return self.span(dimension, own)
        if dimension.bin_size is not None:
            return Sql(f"floor({own} / %s::numeric) * %s::numeric", [dimension.bin_size, dimension.bin_size])
        if asked.kind in _TEXTS:
            return Sql(f"nullif({own}::text, '')")
        return Sql(own)

    def span(self, dimension: Dimension, own: str) -> Sql:
        day = self.day(dimension.field, own)
        match dimension.bucket:
            case "day":
                return day
            case "weekday":
                return Sql(f"extract(isodow FROM {day.text})::int", day.params)
            case word if word in _SPANS:
                return Sql(f"date_trunc('{word}', {day.text}::timestamp)::date", day.params)
        span = dimension.bucket.removeprefix("fiscal_")
        shift = f"make_interval(months => {int(self.facts.fiscal_start) - 1})"
        return Sql(f"(date_trunc('{span}', {day.text} - {shift}) + {shift})::date", day.params)

    def day(self, asked: Field, own: str) -> Sql:
        """The day, that of the company's clocks where the field holds a moment."""
        if asked.kind is Kind.DATETIME:
            return _local_day(own, self.facts.zone)
        return Sql(own)

    # --- measures -----------------------------------------------------------------------------------------------

    def value(self, measure: Measure) -> Sql:
        if measure.place is None:
            return Sql("NULL")
        asked = measure.place.field
        if self.takes_lines(measure):
            return self.converted(self.definition.entity, Sql("parts.part"), "s")
        own = Sql(_own(asked, self.alias(measure.place)))
        if measure.is_money and asked.kind is Kind.MONEY:
            entity = measure.place.steps[-1][1].entity if measure.place.steps else self.definition.entity
            return self.converted(entity, own, self.alias(measure.place))
        if asked.kind in _TEXTS:
            return Sql(f"nullif({own.text}::text, '')")
        if asked.kind is Kind.DATETIME and measure.aggregation in ("min", "max"):
            return Sql(f"({own.text} AT TIME ZONE %s)", [self.facts.zone])
        return own

    def takes_lines(self, measure: Measure) -> bool:
        return self.definition.fans_out and measure.aggregation == "sum"

    def converted(self, entity: Entity, amount: Sql, at: str) -> Sql:
        """The amount in the company's currency at the rate of the record's date, rounded for each record."""
        money = self.currency_of(entity, at)
        if money is None:
            return amount
        currency, day = money
        rate = (
            "(SELECT x.rate FROM analytics_exchangerate x WHERE x.company_id = %s "
            f"AND x.currency = {currency} AND x.valid_from <= {day.text} ORDER BY x.valid_from DESC LIMIT 1)"
        )
        return Sql(
            f"CASE WHEN {currency} IN (%s, '') OR {currency} IS NULL THEN {amount.text} "
            f"ELSE round({amount.text} * {rate}, 2) END",
            [self.facts.currency, *amount.params, *amount.params, self.facts.company_id, *day.params],
        )

    def money_lost(self, measure: Measure) -> Sql | None:
        """The test that a record's amount has no rate to convert it by; None where nothing is converted."""
        if not (measure.is_money and measure.place is not None and measure.place.field.kind is Kind.MONEY):
            return None
        place = measure.place
        entity = place.steps[-1][1].entity if place.steps else self.definition.entity
        if self.currency_of(entity, self.alias(place)) is None:
            return None
        own = "parts.part" if self.takes_lines(measure) else _own(place.field, self.alias(place))
        value = self.value(measure)
        return Sql(f"({own} IS NOT NULL AND ({value.text}) IS NULL)", value.params)

    def currency_of(self, entity: Entity, at: str) -> tuple[str, Sql] | None:
        """SQL for the currency of the records `at`, and for the day whose rate counts; that of the record they belong to
        where they have none themselves."""
        currency = entity.by_meaning.get("currency")
        if currency is not None:
            closes = entity.by_meaning.get("close_date")
            day = Sql(_own(closes, at)) if closes else _local_day(f'{at}."created_at"', self.facts.zone)
            return _own(currency, at), day
        for parent in (item for name in entity.visible_through for item in relations_named(entity, name)):
            behind = EntityView(entities[parent.to], self.definition.source.actor)
            if "currency" in behind.entity.by_meaning:
                return self.currency_of(behind.entity, self.join(at, parent, behind))
        return None

    # --- lines --------------------------------------------------------------------------------------------------

    def parts(self) -> tuple[str, list[Any]]:
        """Each record's lines, and what of its amount no line explains, so that all parts add up to the amount."""
        lines = self.definition.lines
        assert lines is not None  # noqa: S101 - the definition fans out
        rows = rows_of(lines.view.records())
        text, params = rows if rows is not None else ("SELECT NULL::uuid AS id WHERE false", ())
        parent, total = lines.parent.column, lines.total.column
        needs_amount = any(self.takes_lines(item) for item in self.definition.measures)
        amount = _own(self.definition.entity.by_meaning["amount"], "s")
        rest = f"{amount} - coalesce(t.total, 0)" if needs_amount else "NULL::numeric"
        differs = f" OR {amount} <> t.total" if needs_amount else ""
        line = f'l."{total}"' if needs_amount else "NULL::numeric"
        return (
            f'lines AS ({text}), parts AS (SELECT l."{parent}" AS part_of, l.id AS line_id, {line} AS part FROM lines l '
            f'UNION ALL SELECT s.id, NULL, {rest} FROM src s LEFT JOIN (SELECT l."{parent}" AS part_of, '
            f'sum(l."{total}") AS total FROM lines l GROUP BY 1) t ON t.part_of = s.id '
            f"WHERE t.part_of IS NULL{differs})",
            list(params),
        )

    # --- groups -------------------------------------------------------------------------------------------------

    def keyed(self) -> Sql:
        """`keyed`: the base with everything but the largest of a dimension as one, where it has a `top`."""
        tops = [number for number, item in enumerate(self.definition.dimensions) if item.top]
        found = Sql()
        order = (
            self.aggregate(0, self.definition.measures[0]) if self.definition.measures else Sql("count(*)")
        )
        if self.definition.measures and self.definition.measures[0].formula is not None:
            order = Sql("count(*)")
        for number in tops:
            found.add(
                f", top{number} AS (SELECT array_agg(k) AS kept FROM (SELECT k{number} AS k FROM base "
                f"WHERE k{number} IS NOT NULL GROUP BY 1 ORDER BY {order.text} DESC NULLS LAST, 1 LIMIT %s) t)",
                [*order.params, self.definition.dimensions[number].top],
            )
        columns = ["rid", "lost", *(f"m{number}" for number in range(len(self.definition.measures)))]
        for number in range(len(self.definition.dimensions)):
            kept = f"k{number} = ANY (coalesce((SELECT kept FROM top{number}), '{{}}'))"
            if number in tops:
                columns.append(f"CASE WHEN {kept} THEN k{number} END AS d{number}")
                columns.append(f"k{number} IS NOT NULL AND NOT ({kept}) AS o{number}")
            else:
                columns.append(f"k{number} AS d{number}")
        return found.add(f", keyed AS (SELECT {', '.join(columns)} FROM base)")

    def aggregate(self, number: int, measure: Measure) -> Sql:
        value = f"m{number}"
        match measure.aggregation:
            case "":
                return Sql("NULL")
            case "count" if measure.place is None:
                return Sql(self.count)
            case "count" if self.definition.fans_out:
                return Sql(f"count(DISTINCT rid) FILTER (WHERE {value} IS NOT NULL)")
            case "count":
                return Sql(f"count({value})")
            case "count_distinct":
                return Sql(f"count(DISTINCT {value})")
            case "stddev":
                return Sql(f"round(stddev_samp({value}), 6)")
            case "avg":
                return Sql(f"round(avg({value}), 6)")
            case "median" | "percentile":
                share = measure.percentile / 100 if measure.aggregation == "percentile" else 0.5
                return Sql(
                    f"round((percentile_cont(%s) WITHIN GROUP (ORDER BY {value}))::numeric, 6)", [share]
                )
        return Sql(f"{measure.aggregation}({value})")

    @property
    def count(self) -> str:
        return "count(DISTINCT rid)" if self.definition.fans_out else "count(*)"

    def grouped(self) -> tuple[str, list[Any]]:
        """The groups of all levels, one more than there may be, with what people read for a relation's key."""
        definition = self.definition
        size = len(definition.dimensions)
        keys = ", ".join(self.grouping_key(number) for number in range(size))
        levels = f"grouping({', '.join(f'd{number}' for number in range(size))})" if size else "0"
        aggregates = [self.aggregate(number, item) for number, item in enumerate(definition.measures)]
        found = Sql(
            f", groups AS (SELECT {levels} AS level, {self.count} AS n, count(*) FILTER (WHERE lost) AS lost"
        )
        found.add(f", {keys}" if keys else "")
        for number, aggregate in enumerate(aggregates):
            found.add(f", {aggregate.text} AS a{number}", aggregate.params)
        found.add(" FROM keyed")
        if size:
            found.add(f" GROUP BY GROUPING SETS ({', '.join(self.sets())})")
        found.add(f" LIMIT {MAX_GROUPS + 1}) SELECT g.level, g.n, g.lost")
        tables = Sql()
        for number, dimension in enumerate(definition.dimensions):
            found.add(f", g.d{number}, {f'g.o{number}' if dimension.top else 'false'}, ")
            if dimension.target is None:
                found.add("NULL")
                continue
            title, rows = title_of(dimension.target, f"t{number}"), rows_of(dimension.target.records())
            found.add(title if rows else "NULL")
            if rows:
                tables.add(f" LEFT JOIN ({rows[0]}) t{number} ON t{number}.id = g.d{number}", rows[1])
        found.add("".join(f", g.a{number}" for number in range(len(aggregates))))
        found.add(" FROM groups g").add(tables.text, tables.params)
        return found.text, found.params

    def grouping_key(self, number: int) -> str:
        """The columns of a dimension; whether it is the rest is one of them only where there is a rest."""
        return f"d{number}, o{number}" if self.definition.dimensions[number].top else f"d{number}"

    def sets(self) -> list[str]:
        rows, columns = len(self.definition.rows), len(self.definition.columns)
        found = []
        for many in range(rows + 1):
            for wide in range(columns + 1):
                chosen = [*range(many), *range(rows, rows + wide)]
                found.append("(" + ", ".join(self.grouping_key(number) for number in chosen) + ")")
        return found


def title_of(target: EntityView, at: str) -> str:
    """SQL for what people call a record, of those fields that the caller may ask for."""
    names = [
        name
        for name in target.entity.title
        if name in target.askable and not target.askable[name].is_relation
    ]
    values = ", ".join(f"nullif({_own(target.askable[name], at)}::text, '')" for name in names)
    return f"nullif(concat_ws(' ', {values}), '')" if values else "NULL"


def drilled(compiled: Compiled, tests: Mapping[int, Any]) -> tuple[str, list[Any]]:
    """A statement for the ids of the records in a cell. `tests`: dimension → key, None for no value, `OTHER` for the rest."""
    found = Sql(compiled.base, list(compiled.base_params))
    found.add(" SELECT rid FROM keyed")
    conditions = []
    for number, key in sorted(tests.items()):
        if key is OTHER:
            conditions.append(f"o{number}" if number in compiled.tops else "false")
        elif key is None:
            conditions.append(f"d{number} IS NULL")
            if number in compiled.tops:
                conditions.append(f"NOT o{number}")
        else:
            conditions.append(f"d{number}::text = %s")
            found.params.append(str(key).lower() if isinstance(key, bool) else str(key))
    if conditions:
        found.add(" WHERE " + " AND ".join(conditions))
    return found.text, found.params


def relations_named(entity: Entity, name: str) -> list[Field]:
    """The declared relation of that name, whoever asks: through it the records are visible."""
    return [item for item in entity.relations_to(entity.target_of(name)) if item.name == name]


def _local_day(moment: str, zone: str) -> Sql:
    return Sql(f"({moment} AT TIME ZONE %s)::date", [zone])


def _own(asked: Field, at: str) -> str:
    return asked.sql_of(at).replace("%", "%%")
