"""The algebra of votes: the same ones end the same in every order, and are decided as soon as nothing can change."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from workflow.approvals.engine.votes import Rule, Vote, decide

RULES = st.one_of(
    st.sampled_from([Rule("all"), Rule("any"), Rule("majority")]),
    st.integers(1, 5).map(lambda number: Rule("count", number)),
    st.integers(1, 12).map(lambda number: Rule("weight", number)),
)
PLACES = st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=5)


def final(rule: Rule, places: list[tuple[int, bool]], order: tuple[int, ...]) -> str:
    """The outcome where people vote one after the other until it is decided."""
    said: dict[int, bool] = {}
    for place in order:
        said[place] = places[place][1]
        found = decide(rule, [Vote(weight, said.get(at)) for at, (weight, _) in enumerate(places)])
        if found != "open":
            return found
    return "open"


@given(RULES, PLACES)
def test_every_order_of_the_same_votes_ends_the_same(rule: Rule, places: list[tuple[int, bool]]) -> None:
    outcomes = {final(rule, places, order) for order in permutations(range(len(places)))}
    assert outcomes in ({"approved"}, {"rejected"})


@given(
    RULES,
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([True, False, None])), min_size=1, max_size=5),
)
def test_it_is_open_exactly_while_both_ends_are_possible(
    rule: Rule, places: list[tuple[int, bool | None]]
) -> None:
    def with_the_rest(answer: bool) -> str:
        return decide(rule, [Vote(weight, answer if said is None else said) for weight, said in places])

    found = decide(rule, [Vote(weight, said) for weight, said in places])
    assert found == (with_the_rest(True) if with_the_rest(True) == with_the_rest(False) else "open")


@given(RULES, st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_a_rule_is_possible_exactly_where_everybody_together_can_approve(
    rule: Rule, weights: list[int]
) -> None:
    everybody = decide(rule, [Vote(weight, True) for weight in weights])
    assert rule.is_possible(weights) is (everybody == "approved")
