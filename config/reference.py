"""The pages of `docs/reference/` that are read off the code: `manage.py build_reference` writes them."""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management import BaseCommand, get_commands, load_command_class
from drf_spectacular.renderers import OpenApiYamlRenderer

from config.home import PROJECT_DIR
from core.conditions.reference import operators_page
from core.entities import Entity, Field, entities
from core.kernel.errors import DomainError
from core.rest.schema.views import openapi_document

FOLDER = PROJECT_DIR / "docs" / "reference"
_METHODS = ("get", "post", "put", "patch", "delete")
_CODE = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*(\.[a-z0-9_]+)?$")
_MOST_TEXTS = 3
_READS_SETTING = re.compile(r"(env\.(?!check\b)\w+|(os\.)?environ\.get)$")
_PAST = {"create": "created", "update": "updated", "delete": "deleted", "restore": "restored"}


def pages() -> dict[str, str]:
    """File name -> content. Reads code, never data."""
    document = openapi_document()
    openapi: bytes = OpenApiYamlRenderer().render(document, renderer_context={})
    return {
        "entities.md": entities_page(),
        "endpoints.md": endpoints_page(document),
        "events.md": events_page(),
        "operators.md": operators_page(),
        "error-codes.md": error_codes_page(),
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "openapi.yaml": openapi.decode(),
    }


def outdated() -> list[str]:
    """The committed pages that are not what the code says."""
    return [name for name, text in pages().items() if _committed(FOLDER / name) != text]


def write() -> list[str]:
    """Bring every page up to date; answers those that changed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    changed = []
    for name, text in pages().items():
        if _committed(FOLDER / name) != text:
            (FOLDER / name).write_text(text)
            changed.append(name)
    return changed


def _committed(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(head), line(["---"] * len(head)), *(line(row) for row in rows)])


def _page(title: str, opening: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", opening, *(part for part in parts if part)]) + "\n"


# --- entities and events -------------------------------------------------------------------------------------------


def entities_page() -> str:
    return _page(
        "Entities",
        "What the API calls records: their fields, and what may be done with each. Companies add fields of their own "
        "as `custom_fields.<key>`.",
        *(_entity(entity) for entity in entities),
    )


def _entity(entity: Entity) -> str:
    writes = [verb for verb in ("create", "update", "delete", "restore") if getattr(entity.writes, verb)]
    facts = [
        f"Path `/api/v1/{entity.path}/`",
        f"title {', '.join(f'`{name}`' for name in entity.title)}",
        f"default order `{entity.ordering}`",
        f"operations: {', '.join(writes) or 'none (read only)'}",
    ]
    rows = [(f"`{field.name}`", _kind(field), _notes(field)) for field in entity.fields.values()]
    return f"## {entity.label} (`{entity.name}`)\n\n{'; '.join(facts)}.\n\n" + _table(
        ("field", "kind", "notes"), rows
    )


def _kind(field: Field) -> str:
    if field.to:
        return f"{field.kind.value} → `{field.to}`"
    if field.choices:
        return "choice: " + ", ".join(f"`{value}`" for value in field.choice_values)
    if field.max_length and field.type.is_text:
        return f"{field.kind.value}, {field.max_length} characters"
    return str(field.kind.value)


def _notes(field: Field) -> str:
    facts = {
        "required": field.required and not field.read_only,
        "read only": field.read_only,
        "may be null": field.nullable and not field.read_only,
        "personal data": field.pii,
        "searched": bool(field.search),
        "unique": field.unique,
        "not filterable": not field.filterable,
        "not sortable": not field.sortable,
    }
    notes = ", ".join(word for word, holds in facts.items() if holds)
    return "; ".join(part for part in (notes, field.description) if part)


def events_page() -> str:
    rows = [
        (f"`{entity.name}.{event}`", meaning)
        for entity in entities
        for event, meaning in (
            *(
                (happened, f"{entity.label}: {happened}")
                for verb, happened in _PAST.items()
                if getattr(entity.writes, verb)
            ),
            *((event, f"{entity.label}: updated so that this holds") for event in entity.events),
        )
    ]
    facts = sorted(
        {(f"`{entity_type}.{_PAST.get(action, action)}`", text) for entity_type, action, text in _facts()}
    )
    return _page(
        "Events",
        "The names under which changes are known to workflows, webhooks and the change log.",
        _table(("event", "when"), rows),
        "## Facts\n\nWhat is recorded without a record changing.\n\n"
        + _table(("event", "description"), facts)
        if facts
        else "",
    )


def _facts() -> Iterator[tuple[str, str, str]]:
    for call, name in _calls():
        if name != "record_fact":
            continue
        given = {word.arg: _text(word.value) for word in call.keywords if word.arg}
        if given.get("action") and given.get("entity_type"):
            yield given["entity_type"], given["action"], given.get("description", "")


# --- endpoints -----------------------------------------------------------------------------------------------------


def endpoints_page(document: dict[str, Any]) -> str:
    by_tag: dict[str, list[tuple[str, str, str, str]]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                entry = methods[method]
                right = entry.get("x-right", "")
                otherwise = "what the records need" if entry["security"] else "none: no sign-in"
                needed = f"`{right}`" if right else otherwise
                by_tag[entry["tags"][0]].append((method.upper(), f"`{path}`", needed, entry["summary"]))
    return _page(
        "Endpoints",
        "Every operation of the API. `member` is what every signed-in member may do; the other rights are those of "
        "roles. What each takes and answers stands in `openapi.yaml`, and browsable at `/api/v1/docs/`.",
        *(
            f"## {tag}\n\n" + _table(("method", "path", "right", "what it does"), rows)
            for tag, rows in sorted(by_tag.items())
        ),
    )


# --- error codes ---------------------------------------------------------------------------------------------------


def error_codes_page() -> str:
    problems: dict[tuple[str, str], list[str]] = defaultdict(list)
    for error in sorted(_family(DomainError), key=lambda one: (one.status, one.code)):
        problems[error.code, str(error.status)].append(error.title)
    faults: dict[str, list[str]] = defaultdict(list)
    statuses = {error.__name__: str(error.status) for error in _family(DomainError)}
    for call, name in _calls():
        for code, text in _codes(call, name):
            known = problems[code, statuses[name]] if name in statuses else faults[code]
            if text and text not in known:
                known.append(text)
    return _page(
        "Error codes",
        "Codes are stable; texts are for people and may change. A part in braces is filled in.",
        "## Of a problem\n\nThe `code` of the document, and the last part of its `type`.\n\n"
        + _table(
            ("code", "status", "text"),
            [(f"`{code}`", status, _texts(texts)) for (code, status), texts in sorted(problems.items())],
        ),
        "## Of a fault\n\nThe `code` of one entry of `errors`; `path` says where.\n\n"
        + _table(("code", "text"), [(f"`{code}`", _texts(texts)) for code, texts in sorted(faults.items())]),
    )


def _texts(texts: list[str]) -> str:
    return " · ".join(texts[:_MOST_TEXTS])


def _family(base: type[DomainError]) -> set[type[DomainError]]:
    return {base} | {error for child in base.__subclasses__() for error in _family(child)}


def _codes(call: ast.Call, name: str) -> Iterator[tuple[str, str]]:
    """The codes a call carries, with their texts."""
    words = {word.arg: word.value for word in call.keywords if word.arg}
    texts = [_text(value) for value in call.args]
    for code_word, text_word in (("code", "detail"), ("violation_error_code", "violation_error_message")):
        code = _text(words[code_word]) if code_word in words else ""
        if _CODE.match(code):
            detail = _text(words[text_word]) if text_word in words else next(iter(texts), "")
            yield code, detail if " " in detail else ""
    if name == "Rule" and len(texts) > 2 and _CODE.match(texts[0]):
        yield texts[0], texts[2]
    elif name.startswith("_") or name in ("Fault", "BadValue", "fault", "refuse", "refused"):
        for code, text in pairwise(texts):
            if _CODE.match(code) and " " in text and "SELECT" not in text:
                yield code, text


def _text(node: ast.expr) -> str:
    """A text as it stands in the code, with what is filled in between braces; empty for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                _text(part) if isinstance(part, ast.Constant) else f"{{{_filled_in(part.value)}}}"
                for part in parts
                if isinstance(part, ast.Constant | ast.FormattedValue)
            )
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
    return ""


def _filled_in(value: ast.expr) -> str:
    """The last name in an expression: what stands there, in a word."""
    return re.findall(r"[A-Za-z_]+", ast.unparse(value))[-1].strip("_").lower()


def _calls() -> Iterator[tuple[ast.Call, str]]:
    """Every call in the project's apps, with the name of what is called."""
    for config in apps.get_app_configs():
        folder = Path(config.path)
        if folder.parent != PROJECT_DIR:
            continue
        for path in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = node.func
                    if isinstance(called, ast.Name):
                        yield node, called.id
                    elif isinstance(called, ast.Attribute):
                        yield node, called.attr


# --- settings and commands -----------------------------------------------------------------------------------------


def settings_page() -> str:
    found: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for path in sorted((PROJECT_DIR / "config").rglob("*.py")):
        if path.stem in ("test", "dbshell"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _READS_SETTING.match(ast.unparse(node.func)):
                found[_text(node.args[0])][path.stem] = _setting(node)
    rows = []
    for name, places in sorted(found.items()):
        kind = next(iter(places.values()))[0]
        shown = [f"{default} ({place})" for place, (_, default) in sorted(places.items())]
        rows.append((f"`{name}`", kind, ", ".join(shown)))
    return _page(
        "Settings",
        "Everything is set by environment variables. `base` holds everywhere, `local` on one machine, `production` "
        "behind it; a variable without a default must be set, and all that is missing is named at once.",
        _table(("variable", "kind", "default"), rows),
    )


def _setting(call: ast.Call) -> tuple[str, str]:
    kind = ast.unparse(call.func).rpartition(".")[2]
    default = call.args[1] if len(call.args) > 1 else None
    options = _choices_of(call) if kind == "choice" else ""
    if default is None and kind == "get":
        return "text", "not set"
    if default is None:
        return kind + options, "must be set"
    if isinstance(default, ast.Constant | ast.List):
        return ("text" if kind == "get" else kind) + options, f"`{ast.unparse(default)}`"
    return ("text" if kind == "get" else kind) + options, "computed"


def _choices_of(call: ast.Call) -> str:
    allowed = call.args[2] if len(call.args) > 2 else None
    if not isinstance(allowed, ast.Tuple):
        return ""
    return ": " + ", ".join(f"`{_text(item)}`" for item in allowed.elts)


def commands_page() -> str:
    own = {config.name for config in apps.get_app_configs() if Path(config.path).parent == PROJECT_DIR}
    parts = []
    for path in sorted((PROJECT_DIR / "bin").iterdir()):
        if path.is_file() and not path.suffix:
            parts.append(f"## `bin/{path.name}`\n\n{_script_text(path)}")
    for name, app in sorted(get_commands().items()):
        if app in own:
            parts.append(_command(name, load_command_class(app, name)))
    return _page(
        "Commands",
        "The programs in `bin/`, and what `python manage.py` adds to Django's own commands.",
        *parts,
    )


def _script_text(path: Path) -> str:
    text = path.read_text()
    if text.startswith("#!") and "python" in text.splitlines()[0]:
        return ast.get_docstring(ast.parse(text)) or ""
    comments = []
    for line in text.splitlines()[1:]:
        if not line.startswith("#"):
            break
        comments.append(line.lstrip("# "))
    return "\n".join(comments)


def _extended(command: type[BaseCommand]) -> type[BaseCommand]:
    """The command of Django that ours extends; its own arguments are documented there."""
    return next(base for base in command.__mro__ if base.__module__.startswith("django."))


def _command(name: str, command: BaseCommand) -> str:
    parser = command.create_parser("manage.py", name)
    common = {action.dest for action in _extended(type(command))().create_parser("manage.py", name)._actions}
    rows = [
        (f"`{', '.join(action.option_strings) or action.dest}`", action.help or "")
        for action in parser._actions
        if action.dest not in common and action.help != argparse.SUPPRESS
    ]
    attributes = vars(type(command))
    about = (
        attributes.get("help")
        or attributes.get("__doc__")
        or sys.modules[type(command).__module__].__doc__
        or ""
    )
    return "\n\n".join(
        part
        for part in (
            f"## `manage.py {name}`",
            about.strip(),
            _table(("argument", "meaning"), rows) if rows else "",
        )
        if part
    )
