"""From a report as people write it to a typed pivot, judged against what the caller may see and ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from analytics.reports.engine import formulas
from analytics.reports.pivots import (
    BUCKETS,
    Definition,
    Dimension,
    Measure,
    Place,
    find_dimension,
    find_measure,
    find_source,
    lines_of,
    main_date,
)
from analytics.reports.schemas import (
    ChartDocument,
    DimensionDocument,
    LimitsDocument,
    MeasureDocument,
    SortDocument,
)
from core.access import EntityView, MaskedField, UnknownField, view
from core.conditions import Condition, compile_condition
from core.entities import Field, entities
from core.entities.kinds import Kind
from core.kernel.errors import MASKED, DomainError, Fault, refused_input
from core.tenancy.actors import Actor

# Relations that a path passes.
MAX_HOPS = 2
MAX_DIMENSIONS = 8
MAX_MEASURES = 12
COUNT_WORDS = ("", "count", "*", "id")
_TIMES = (Kind.DATE, Kind.DATETIME)
_NUMBERS = (Kind.INTEGER, Kind.DECIMAL, Kind.MONEY)
# What may be asked of a field behind a relation, whose value stands with many records: it must not count more than once.
_REPEATABLE = ("min", "max", "count_distinct")

# --- reading ---------------------------------------------------------------------------------------------------


def read_definition(actor: Actor, document: Mapping[str, Any]) -> Definition:
    """The typed pivot of a report's document (`data_source`, `pivot_rows`, …).

    Raises: Invalid with every fault, hidden and unknown fields alike; Forbidden likewise, when a field is masked.
    """
    reader = _Reader(actor, document)
    found = reader.read()
    if reader.faults or found is None:
        raise refused_input("The report is not valid.", faults=reader.faults)
    return found


def spelled_out(source: EntityView, text: str) -> dict[str, Any]:
    """The document of a dimension that is a bare text: `stage`, `close_date:quarter`, `quarter`."""
    if text in BUCKETS and text not in source.modes:
        return {"field": main_date(source.entity), "bucket": text}
    name, colon, bucket = text.rpartition(":")
    return {"field": name, "bucket": bucket} if colon else {"field": text}


class _Reader:
    def __init__(self, actor: Actor, document: Mapping[str, Any]) -> None:
        self.actor = actor
        self.document = document
        self.faults: list[Fault] = []

    def fault(self, path: str, code: str, detail: str) -> None:
        self.faults.append(Fault(path, code, detail))

    def read(self) -> Definition | None:
        source = find_source(self.actor, self.document.get("data_source"))
        if source is None:
            self.fault(
                "data_source",
                "not_a_choice",
                "There are no such records for you to report on, such as deals or leads.",
            )
            return None
        self.source, self.lines = source, lines_of(source)
        limits = self.part(LimitsDocument, self.document.get("limits") or {}, "limits") or LimitsDocument(
            rows=None, columns=None
        )
        rows = self.dimensions("pivot_rows", limits.rows)
        columns = self.dimensions("pivot_columns", limits.columns)
        names = [item.name for item in (*rows, *columns)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.fault("pivot_columns", "duplicate", f"{name!r} is grouped by twice.")
        if len(names) > MAX_DIMENSIONS:
            self.fault("pivot_rows", "too_many", f"At most {MAX_DIMENSIONS} dimensions are allowed.")
        fans_out = any(item.place.of_lines for item in (*rows, *columns))
        measures = self.measures(fans_out)
        sort = self.part(SortDocument, self.document.get("sort") or {}, "sort") or SortDocument(by="label")
        if sort.by != "label" and sort.by not in {item.name for item in measures}:
            self.fault("sort.by", "not_a_choice", "Order by label, or by the name of a measure.")
        chart = None
        if self.document.get("chart_config"):
            chart = self.part(ChartDocument, self.document["chart_config"], "chart_config")
            if chart is not None:
                self.judge_chart(chart, [*rows, *columns], measures)
        conditions = self.conditions("pivot_filters", self.document.get("pivot_filters"))
        conditions += self.conditions("filters", self.document.get("filters"))
        return Definition(
            source,
            rows,
            columns,
            measures,
            tuple(conditions),
            sort,
            self.document.get("show_subtotals") is not False,
            self.document.get("show_totals") is not False,
            chart,
            self.lines if fans_out else None,
        )

    def part(self, model: type[BaseModel], document: Any, path: str) -> Any:
        try:
            return model.model_validate(document)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False, include_input=False):
                where = ".".join([path, *map(str, item["loc"])])
                self.fault(where, _CODES.get(item["type"], item["type"]), f"{item['msg']}.")
            return None

    def items(self, name: str, most: int) -> list[Any]:
        found = self.document.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            self.fault(name, "not_a_list", "A list is expected.")
            return []
        if len(found) > most:
            self.fault(name, "too_many", f"At most {most} are allowed.")
        return found[:most]

    # --- dimensions ---------------------------------------------------------------------------------------------

    def dimensions(self, name: str, limit: int | None) -> tuple[Dimension, ...]:
        found: list[Dimension] = []
        for number, document in enumerate(self.items(name, MAX_DIMENSIONS)):
            path = f"{name}.{number}"
            if isinstance(document, str):
                document = spelled_out(self.source, document)
            read = self.part(DimensionDocument, document, path)
            dimension = self.dimension(read, path) if read is not None else None
            if dimension is not None:
                found.append(replace(dimension, top=dimension.top or (limit if number == 0 else None)))
        return tuple(found)

    def dimension(self, read: DimensionDocument, path: str) -> Dimension | None:
        place = self.place(read.field, path, may_be_line=True)
        if place is None:
            return None
        asked = place.field
        bucket, bin_size = read.bucket or "", read.bin_size
        if asked.kind is Kind.TAGS:
            detail = (
                "A record has many tags, so its amounts would count more than once. Filter by tags instead."
            )
            self.fault(path, "fan_out", detail)
            return None
        if bucket and asked.kind not in _TIMES:
            self.fault(f"{path}.bucket", "not_a_date", "Only dates and times are gathered in spans.")
        if bin_size is not None and asked.kind not in _NUMBERS:
            self.fault(f"{path}.bin_size", "not_a_number", "Only numbers are gathered in bins.")
        if asked.kind in _TIMES and not bucket:
            bucket = "day"
        if not (asked.dimension or asked.custom_key or asked.kind is Kind.BOOLEAN) or asked.name in (
            "id",
            "version",
        ):
            self.fault(path, "not_groupable", f"{read.field!r} cannot be grouped by.")
            return None
        target = None
        if asked.is_relation:
            # Whoever may not read those records at all groups by their ids alone.
            behind = view(entities[asked.to], self.actor)
            target = behind if behind.can("read") else None
        name = read.field + (f":{bucket}" if bucket else "")
        steps = [relation.label for relation, _ in place.steps]
        label = read.label or " ".join([*steps, asked.label]) + (
            f" ({bucket.replace('_', ' ')})" if bucket else ""
        )
        return Dimension(name, label, place, bucket, bin_size, read.top, target)

    def place(self, path_of_field: str, path: str, *, may_be_line: bool = False) -> Place | None:
        """Where a dotted field lies, each part judged for the caller."""
        names = _names(path_of_field)
        if len(names) - 1 > MAX_HOPS:
            self.fault(path, "too_many_relations", f"A field lies at most {MAX_HOPS} relations away.")
            return None
        at, of_lines = self.source, False
        if may_be_line and self.lines and names[0] not in self.source.modes and self.lines.has(names[0]):
            at, of_lines = self.lines.view, True
        steps: list[tuple[Field, EntityView]] = []
        try:
            for name in names[:-1]:
                relation = at.field(name)
                if not relation.is_relation:
                    raise UnknownField(name)
                behind = at.related(name)
                steps.append((relation, behind))
                at = behind
            return Place(at.field(names[-1]), tuple(steps), of_lines)
        except UnknownField:
            self.fault(path, "unknown_field", f"There is no field {path_of_field!r}.")
        except MaskedField:
            self.fault(path, MASKED, f"{path_of_field!r} is masked for you and cannot be asked for.")
        return None

    # --- measures -----------------------------------------------------------------------------------------------

    def measures(self, fans_out: bool) -> tuple[Measure, ...]:
        found: list[Measure] = []
        places: dict[str, int] = {}
        documents = self.items("pivot_values", MAX_MEASURES) or [{"field": "count", "aggregation": "count"}]
        for number, document in enumerate(documents):
            path = f"pivot_values.{number}"
            read = self.part(MeasureDocument, document, path)
            measure = self.measure(read, path, fans_out) if read is not None else None
            if measure is None:
                continue
            if any(other.name == measure.name for other in found):
                self.fault(f"{path}.name", "duplicate", f"Two measures are called {measure.name!r}.")
                continue
            found.append(measure)
            places[measure.name] = number
        plain = {item.name for item in found if item.formula is None}
        for measure in found:
            if measure.formula is None:
                continue
            for name in formulas.names_of(measure.formula):
                if name not in plain:
                    path = f"pivot_values.{places[measure.name]}.formula"
                    self.fault(path, "unknown_measure", f"There is no measure {name[:64]!r}.")
        return tuple(found)

    def measure(self, read: MeasureDocument, path: str, fans_out: bool) -> Measure | None:
        if read.formula:
            if read.field or read.aggregation:
                self.fault(path, "not_together", "A formula goes with neither a field nor an aggregation.")
                return None
            try:
                tree = formulas.read(read.formula)
            except formulas.BadFormula as bad:
                self.fault(f"{path}.formula", "bad_formula", str(bad))
                return None
            name = read.name or "formula"
            return Measure(
                name, read.label or name, "", "", formula=tree, format=read.format, show_as=read.show_as
            )
        is_count = read.field in COUNT_WORDS and read.aggregation in (None, "count")
        aggregation = read.aggregation or ("count" if is_count else "sum")
        if is_count and not (read.field == "count" and "count" in self.source.modes):
            return Measure(
                read.name or "count",
                read.label or "Count",
                "count",
                "count",
                format=read.format,
                show_as=read.show_as,
            )
        if not read.field:
            self.fault(f"{path}.field", "required", "A field is expected.")
            return None
        place = self.place(read.field, f"{path}.field")
        if place is None:
            return None
        if not self.fits(place, aggregation, read.field, path, fans_out):
            return None
        if aggregation == "percentile" and read.percentile is None:
            self.fault(f"{path}.percentile", "required", "Say which percentile, such as 90.")
        plain = read.field.replace(".", "_")
        label = f"{_WORDS[aggregation]} of {place.field.label.lower()}"
        return Measure(
            read.name or f"{plain}_{aggregation}",
            read.label or label,
            aggregation,
            read.field,
            place,
            50 if read.percentile is None else read.percentile,
            format=read.format,
            show_as=read.show_as,
        )

    def fits(self, place: Place, aggregation: str, name: str, path: str, fans_out: bool) -> bool:
        asked = place.field
        if aggregation in ("sum", "avg", "median", "percentile", "stddev"):
            fits = asked.kind in _NUMBERS and asked.measure
        elif aggregation in ("min", "max"):
            fits = asked.kind in (*_NUMBERS, *_TIMES)
        else:
            fits = asked.kind not in (Kind.JSON, Kind.TAGS)
        if not fits:
            self.fault(f"{path}.aggregation", "aggregation_not_allowed", f"{name!r} has no {aggregation}.")
            return False
        if place.steps and aggregation not in _REPEATABLE:
            detail = (
                f"{name!r} stands with several {self.source.entity.noun_plural}, so it would count more than once. "
                f"Report on {place.steps[-1][1].entity.noun_plural} instead."
            )
            self.fault(f"{path}.field", "fan_out", detail)
            return False
        is_amount = asked is self.source.entity.by_meaning.get("amount")
        if fans_out and aggregation in ("sum", "avg", "median", "percentile", "stddev"):
            if not (aggregation == "sum" and is_amount):
                detail = (
                    f"Grouped by lines, a {self.source.entity.noun} stands in several groups, so its {aggregation} of "
                    f"{asked.label.lower()} would count more than once. Ask for the sum of the amount, for counts, or "
                    "report on the lines themselves."
                )
                self.fault(f"{path}.aggregation", "fan_out", detail)
                return False
            assert self.lines is not None  # noqa: S101 - it fans out over them
            if self.lines.total.name not in self.lines.view.askable:
                self.fault(f"{path}.field", "unknown_field", f"There is no field {name!r} of lines.")
                return False
        return True

    # --- the rest -----------------------------------------------------------------------------------------------

    def conditions(self, name: str, document: Any) -> list[Condition]:
        """A condition, or a list of such that must all hold."""
        documents = document if isinstance(document, list) else [document] if document else []
        found = []
        for number, item in enumerate(documents):
            path = f"{name}.{number}" if isinstance(document, list) else name
            try:
                found.append(compile_condition(item, self.source, zone=ZoneInfo(self.actor.zone)))
            except DomainError as refusal:
                self.faults += [item.below(path) for item in refusal.faults]
        return found

    def judge_chart(
        self, chart: ChartDocument, dimensions: Sequence[Dimension], measures: Sequence[Measure]
    ) -> None:
        for axis in ("x_axis", "color_by"):
            name = getattr(chart, axis)
            if name and find_dimension(dimensions, name) is None:
                self.fault(
                    f"chart_config.{axis}", "not_a_choice", "Name one of the report's rows or columns."
                )
        if chart.y_axis and find_measure(measures, chart.y_axis) is None:
            self.fault("chart_config.y_axis", "not_a_choice", "Name one of the report's measures.")


_CODES = {
    "missing": "required",
    "extra_forbidden": "unknown_field",
    "string_type": "not_text",
    "string_too_long": "too_long",
    "literal_error": "not_a_choice",
    "model_type": "not_an_object",
    "model_attributes_type": "not_an_object",
    "bool_type": "not_a_boolean",
    "int_type": "not_an_integer",
    "int_parsing": "not_an_integer",
    "int_from_float": "not_an_integer",
    "greater_than_equal": "too_small",
    "greater_than": "too_small",
    "less_than_equal": "too_large",
    "string_pattern_mismatch": "bad_name",
}
_WORDS = {
    "count": "Count",
    "count_distinct": "Distinct count",
    "sum": "Sum",
    "avg": "Average",
    "min": "Least",
    "max": "Greatest",
    "median": "Median",
    "percentile": "Percentile",
    "stddev": "Standard deviation",
}


def _names(path: str) -> list[str]:
    names = path.split(".")
    if len(names) > 1 and names[-2] == "custom_fields":
        names[-2:] = [f"custom_fields.{names[-1]}"]
    return names
