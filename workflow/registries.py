"""What workflows can do: action types. Apps above register theirs in `extensions.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from core.kernel.errors import Fault
from core.kernel.registry import Registry

if TYPE_CHECKING:
    from workflow.definitions import Setting
    from workflow.steps import Step


def _nothing_more(setting: Setting, payload: Any) -> Iterable[Fault]:
    return ()


@dataclass(frozen=True)
class ActionType:
    """One kind of action.

    `run` does it in the open transaction, with the rights of `step.actor`, and answers what came of it as JSON; what it
    refuses it raises as a domain error, and its effects are undone then. A `leaves_database` type is called outside any
    transaction instead, again after a failure, and must be harmless when it is repeated with the same `step.key`.
    `preview` answers, without writing, what `run` would do. Both get the payload with its templates filled in.
    """

    name: str
    label: str
    description: str
    payload: type[BaseModel]
    run: Callable[[Step, Mapping[str, Any]], Mapping[str, Any]]
    # Of a payload as it is saved: what it does, in a few words.
    summarize: Callable[[Mapping[str, Any]], str]
    # What the shape cannot tell: whether fields, records and actions that it names are there for whoever saves it.
    check: Callable[[Setting, Any], Iterable[Fault]] = _nothing_more
    preview: Callable[[Step, Mapping[str, Any]], Mapping[str, Any]] | None = None
    leaves_database: bool = False
    needs_record: bool = False
    # Names of the payload whose texts are HTML: values are escaped there.
    html: frozenset[str] = frozenset()
    # Names of the payload that are no templates.
    verbatim: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ControlType:
    """A kind of action that decides how the run goes on; the engine carries it out itself."""

    name: str
    label: str
    description: str
    payload: type[BaseModel]
    summarize: Callable[[Mapping[str, Any]], str]
    check: Callable[[Setting, Any], Iterable[Fault]] = _nothing_more
    # The lists of actions inside it.
    branches: tuple[str, ...] = ()
    verbatim: frozenset[str] = frozenset()


ACTION_TYPES: Registry[ActionType | ControlType] = Registry("workflow action type")
