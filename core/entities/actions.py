"""Actions: what can be done with a record beyond changing its fields, declared once beside its entity.

From a declaration in an app's `actions.py` follow the route `POST /{entities}/{id}/{action}/`, its entry in the OpenAPI
document, the right it needs, the back office's button and page, and what workflows and plugins may call::

    register_action(
        Action(
            entity="deal",
            name="lose",
            run=operations.lose_deal,
            label="Lose",
            description="Put the deal into its pipeline's lost stage, with a reason.",
            input=(
                argument("lost_reason", Kind.RELATION, to="lost_reason", required=True),
                argument("lost_notes", Kind.LONG_TEXT),
            ),
        )
    )
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.entities.kinds import Kind
from core.entities.registry import Field
from core.kernel.registry import Registry


def argument(
    name: str,
    kind: Kind,
    *,
    to: str = "",
    required: bool = False,
    nullable: bool = False,
    label: str = "",
    description: str = "",
    default: Any = None,
    choices: tuple[tuple[str, str], ...] = (),
    max_length: int | None = None,
    minimum: Decimal | int | None = None,
    decimal_places: int = 2,
) -> Field:
    """A value that an action takes or answers: read, shown and documented like a field of that kind.

    `to` is the entity of a relation. `default` documents what the operation does without the value.
    """
    return Field(
        name=name,
        kind=kind,
        label=label or name.replace("_", " ").capitalize(),
        column="",
        required=required,
        nullable=nullable,
        read_only=False,
        pii=False,
        search="",
        key=False,
        meaning="",
        filterable=False,
        sortable=False,
        dimension=False,
        measure=False,
        sql="",
        description=description,
        choices=choices,
        max_length=max_length,
        max_digits=18,
        decimal_places=decimal_places,
        minimum=minimum,
        maximum=None,
        unique=False,
        to="user" if kind is Kind.PERSON else to,
        default=default,
    )


def _always(record: Any) -> bool:
    return True


@dataclass(frozen=True)
class Action:
    """One action on one record of an entity.

    `run` is the operation. It is called with `actor`, the record's id as `<entity>_id`, `now`, `expected_version` (None
    where the caller expects none) and the input: each value under its name, ids of relations under `<name>_id`, values
    that were not sent left out. It refuses by raising a domain error, checks the version and its own preconditions under
    lock, and does not end the transaction.
    """

    entity: str
    # The word in URLs, and before the entity in the permission word that allows nothing else (`win:deal`).
    name: str
    run: Callable[..., Any]
    # What a button says.
    label: str
    # Sentences; the first one is the summary in the OpenAPI document.
    description: str
    # The right that includes this action, and the verb by which its records are seen.
    verb: str = "update"
    input: tuple[Field, ...] = ()
    # Called like `run`; answers the same without writing. With it, the body takes `dry_run`.
    dry_run: Callable[..., Any] | None = None
    # What it answers: attributes of what `run` returns, relations as `<name>_id`. Empty: the record as it is then.
    output: tuple[Field, ...] = ()
    # Whether to offer it for a record, by what the record says. Only a hint: the operation refuses what must not be.
    is_offered: Callable[[Any], bool] = _always

    @property
    def key(self) -> str:
        """Its name in `ACTIONS`."""
        return f"{self.entity}.{self.name}"

    @property
    def word(self) -> str:
        """The permission word that allows this action and nothing else."""
        return f"{self.name}:{self.entity}"

    @property
    def path(self) -> str:
        return self.name.replace("_", "-")

    @property
    def needs_input(self) -> bool:
        return any(field.required for field in self.input)


ACTIONS: Registry[Action] = Registry("action")


def register_action(action: Action) -> Action:
    return ACTIONS.register(action.key, action)


def actions_of(entity: str) -> Iterator[Action]:
    """The actions on records of this entity, in the order of their declarations."""
    return (action for action in ACTIONS if action.entity == entity)


def parameter_of(field: Field) -> str:
    """What an operation calls this value: ids of relations end in `_id`."""
    return f"{field.name}_id" if field.is_relation else field.name
