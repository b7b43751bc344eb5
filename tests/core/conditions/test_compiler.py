"""What is refused when a condition is saved: every fault, each with its path."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.conditions import compile_condition, json_schema, operators_page, schema
from core.conditions.operators import OPERATORS
from core.kernel.errors import Invalid
from tests.core.conditions.conftest import leaf
from tests.core.conditions.sample import Source


def faults_of(document: Any, source: Source | None = None, **options: Any) -> set[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        compile_condition(document, source or Source(), **options)
    return {(fault.path, fault.code) for fault in refused.value.faults}


class TestShape:
    @pytest.mark.parametrize(
        ("document", "path", "code"),
        [
            (None, "", "not_a_condition"),
            ([], "", "not_a_condition"),
            ("x", "", "not_a_condition"),
            ({}, "field", "required"),
            ({"and": {}}, "and", "not_a_list"),
            ({"and": []}, "and", "empty_group"),
            ({"and": [leaf("name", "is_null")], "or": []}, "", "not_a_condition"),
            ({"and": [leaf("name", "is_null")], "field": "name"}, "", "not_a_condition"),
            ({"not": [leaf("name", "is_null")]}, "not", "not_a_condition"),
            ({"or": [1]}, "or.0", "not_a_condition"),
            ({"field": 1, "operator": "eq", "value": 1}, "field", "not_text"),
            ({"field": "name", "operator": ["eq"], "value": 1}, "operator", "not_text"),
            ({"field": "name", "operator": "eq"}, "value", "required"),
            ({"field": "name", "operator": "eq", "value": "x", "flags": "i"}, "flags", "unknown_key"),
        ],
    )
    def test_is_checked(self, document, path, code):
        assert (path, code) in faults_of(document)

    def test_all_faults_are_told_at_once(self):
        document = {
            "and": [
                leaf("score", "eq", "many"),
                {"or": [leaf("nope", "eq", 1), leaf("name", "like", "x")]},
                {"not": leaf("close_date", "in", ["2026-02-30", "2026-02-01", 7])},
                {"and": []},
            ]
        }
        assert faults_of(document) == {
            ("and.0.value", "not_an_integer"),
            ("and.1.or.0.field", "unknown_field"),
            ("and.1.or.1.operator", "unknown_operator"),
            ("and.2.not.value.0", "not_a_date"),
            ("and.2.not.value.2", "not_a_date"),
            ("and.3.and", "empty_group"),
        }


class TestLimits:
    def test_nodes(self):
        full = {"and": [leaf("name", "is_null")] * (schema.MAX_NODES - 1)}
        compile_condition(full, Source())
        over = {"and": [leaf("name", "is_null")] * schema.MAX_NODES}
        assert faults_of(over) == {(f"and.{schema.MAX_NODES - 1}", "too_many_nodes")}

    def test_depth(self):
        document = leaf("name", "is_null")
        for _ in range(schema.MAX_DEPTH):
            document = {"not": document}
        compile_condition(document, Source())
        assert faults_of({"not": document}) == {("not" + ".not" * (schema.MAX_DEPTH - 1), "too_deep")}

    def test_depth_without_end_is_no_crash(self):
        document = leaf("name", "is_null")
        for _ in range(100_000):
            document = {"not": document}
        faults_of(document)

    def test_relations(self):
        compile_condition(leaf("parent.parent.parent.name", "is_null"), Source())
        assert faults_of(leaf("parent.parent.parent.parent.name", "is_null")) == {
            ("field", "too_many_relations")
        }

    def test_values(self):
        compile_condition(leaf("score", "in", [1] * schema.MAX_VALUES), Source())
        assert faults_of(leaf("score", "in", [1] * (schema.MAX_VALUES + 1))) == {("value", "wrong_number")}

    def test_texts_and_patterns(self):
        assert faults_of(leaf("name", "contains", "x" * (schema.MAX_TEXT + 1))) == {("value", "too_long")}
        pattern = leaf("name", "matches", "x" * (schema.MAX_PATTERN + 1))
        assert faults_of(pattern, in_memory=True) == {("value", "too_long")}

    def test_an_error_names_the_limit(self):
        with pytest.raises(Invalid) as refused:
            compile_condition({"and": [leaf("name", "is_null")] * 80}, Source())
        assert str(schema.MAX_NODES) in refused.value.faults[0].detail


class TestFields:
    def test_hidden_and_unknown_answer_alike(self):
        def told(name: str) -> list[tuple[str, str, str]]:
            with pytest.raises(Invalid) as refused:
                compile_condition(leaf(name, "eq", 5), Source())
            # What is near a name depends on its letters alone.
            return [
                (fault.path, fault.code, fault.detail.replace(name, "?").partition(" Did you mean")[0])
                for fault in refused.value.faults
            ]

        assert told("secret") == told("nothing") == told("parent.secret") == told("parent.nothing")

    def test_what_was_probably_meant_is_named_but_never_what_is_hidden(self):
        def detail(name: str) -> str:
            with pytest.raises(Invalid) as refused:
                compile_condition(leaf(name, "eq", 5), Source())
            return refused.value.faults[0].detail

        assert detail("scor") == "There is no field 'scor'. Did you mean score or story?"
        assert "Did you mean" not in detail("secrat" + "x" * 60)
        assert "secret" not in detail("secrets").partition(".")[2]

    @pytest.mark.parametrize(
        "path", ["", ".", "name.", ".name", "name.x", "parent..name", "id.x", "old.name", "'"]
    )
    def test_a_path_to_nowhere_is_unknown(self, path):
        assert faults_of(leaf(path, "is_null")) == {("field", "unknown_field")}

    def test_one_that_is_not_filterable_says_so(self):
        assert faults_of(leaf("unasked", "is_null")) == {("field", "not_filterable")}


class TestOperators:
    @pytest.mark.parametrize(
        ("field", "operator", "value"),
        [
            ("score", "contains", "1"),
            ("story", "eq", "x"),
            ("status", "gt", "new"),
            ("is_open", "lt", True),
            ("tags", "ne", "vip"),
            ("parent", "gt", "x"),
            ("extra", "eq", {}),
            ("score", "matches", "1"),
        ],
    )
    def test_are_those_of_the_kind(self, field, operator, value):
        assert faults_of(leaf(field, operator, value), in_memory=True) == {
            ("operator", "operator_not_allowed")
        }

    def test_on_changes_need_old_values(self):
        for operator in ("changed", "changed_from", "changed_to"):
            document = {"field": "score", "operator": operator, "value": None}
            assert faults_of(document) == {("operator", "no_old_values")}
            assert faults_of(document | {"field": "parent.score"}, old_values=True) == {
                ("operator", "no_old_values")
            }

    def test_on_patterns_need_memory(self):
        assert faults_of(leaf("name", "matches", "x")) == {("operator", "in_memory_only")}


class TestValues:
    @pytest.mark.parametrize(
        ("field", "operator", "value", "code"),
        [
            ("score", "eq", "5", "not_an_integer"),
            ("score", "eq", True, "not_an_integer"),
            ("score", "eq", 10**30, "too_large"),
            ("name", "eq", 5, "not_text"),
            ("name", "eq", "a\x00", "invalid_characters"),
            ("name", "contains", "\ud800", "invalid_characters"),
            ("name", "contains", "", "empty_value"),
            ("name", "contains", ["x"], "not_text"),
            ("amount", "gt", "NaN", "not_a_number"),
            ("amount", "gt", 1.5, "not_a_number"),
            ("amount", "gt", "1e999", "too_large"),
            ("amount", "gt", "0.001", "too_precise"),
            ("is_open", "eq", "yes", "not_a_boolean"),
            ("status", "eq", "lukewarm", "not_a_choice"),
            ("email", "eq", "nobody", "not_an_email"),
            ("close_date", "eq", "now", "not_a_date"),
            ("close_date", "eq", "last_n_days:99999", "too_large"),
            ("close_date", "in", ["today"], "period"),
            ("met_at", "eq", "2026-05-20T10:00:00", "zone_missing"),
            ("met_at", "eq", "2026-02-30", "not_a_date"),
            ("id", "eq", "7", "not_an_id"),
            ("tags", "contains", "a,b", "not_a_tag"),
            ("tags", "eq", ["a"], "not_text"),
            ("score", "between", [1], "wrong_number"),
            ("score", "between", [5, 1], "wrong_order"),
            ("score", "between", 5, "not_a_list"),
            ("score", "in", [], "wrong_number"),
            ("score", "is_null", True, "not_expected"),
        ],
    )
    def test_are_typed(self, field, operator, value, code):
        (fault,) = faults_of({"field": field, "operator": operator, "value": value})
        assert fault[0].startswith("value")
        assert fault[1] == code

    def test_null_is_asked_for_by_name(self):
        assert faults_of({"field": "score", "operator": "eq", "value": None}) == {("value", "null")}

    def test_a_limit_of_what_may_be_stored_is_no_limit_of_what_may_be_asked(self):
        compile_condition(leaf("name", "lt", "z" * 200), Source())
        compile_condition(leaf("score", "gt", -(10**6)), Source())

    @pytest.mark.parametrize("pattern", ["(", "(?=x)", r"(a)\1", "x{5000}"])
    def test_a_pattern_that_re2_refuses_is_a_fault(self, pattern):
        assert faults_of(leaf("name", "matches", pattern), in_memory=True) == {("value", "bad_pattern")}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["name", "eq", "today"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["and", "or", "not", "field", "operator", "value", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


class TestAnyDocument:
    @settings(max_examples=300, deadline=None)
    @given(document=json_values)
    def test_is_compiled_or_refused_with_faults(self, document):
        try:
            compile_condition(document, Source(), old_values=True, in_memory=True)
        except Invalid as refused:
            assert refused.faults  # noqa: PT017 - both ends are fine

    @settings(max_examples=200, deadline=None)
    @given(name=st.sampled_from(sorted(OPERATORS)), value=json_values)
    def test_as_value_of_any_operator_is_compiled_or_refused(self, name, value):
        for field in Source().entity.fields:
            try:
                compile_condition(
                    {"field": field, "operator": name, "value": value},
                    Source(),
                    old_values=True,
                    in_memory=True,
                )
            except Invalid as refused:
                assert refused.faults  # noqa: PT017 - both ends are fine


class TestJsonSchema:
    def test_is_a_schema_that_accepts_what_compiles(self):
        published = json_schema()
        jsonschema.Draft202012Validator.check_schema(published)
        validator = jsonschema.Draft202012Validator(published)
        for document in (
            leaf("name", "is_null"),
            leaf("score", "between", [1, 2]),
            leaf("name", "contains", "x"),
            {"and": [{"or": [leaf("score", "in", [1])]}, {"not": leaf("name", "eq", "x")}]},
        ):
            compile_condition(document, Source())
            validator.validate(document)

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"and": []},
            leaf("name", "like", "x"),
            leaf("name", "eq"),
            leaf("score", "between", [1]),
            {"and": [leaf("name", "is_null")], "or": [leaf("name", "is_null")]},
        ],
    )
    def test_refuses_what_does_not(self, document):
        faults_of(document)
        assert not jsonschema.Draft202012Validator(json_schema()).is_valid(document)


def test_the_reference_tells_every_operator():
    page = operators_page()
    assert all(f"| `{name}` |" in page for name in OPERATORS)
