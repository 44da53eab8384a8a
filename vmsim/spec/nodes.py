"""YAML as a tree of values that remember where they stand: file, line and dotted key.

The reader works on PyYAML's events, so that nesting, aliases and size are bounded before anything is built.  Scalars
follow YAML 1.2: `on`, `yes` and `1:30` are text, and what looks like a fraction stays text until its field reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import yaml

from vmsim.errors import Problem, SpecError

MAX_DEPTH: Final = 60
MAX_VALUES: Final = 300_000
MAX_BYTES: Final = 32 << 20

Scalar = None | bool | int | str
Value = Scalar | tuple["Node", ...] | dict[str, "Node"]

_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+)")
_WORDS: Final[Mapping[str, Scalar]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")
)
_TEXT_TAG: Final = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. `key` is its path in the file it was written in; `size` counts the values in it, aliases
    expanded, and `depth` how deep they nest.

    `line` is 0 where there is no file, as for a value that an option gave.
    """

    value: Value
    file: str
    line: int
    key: str
    size: int = 1
    depth: int = 0

    def items(self) -> Iterator[tuple[str, Node]]:
        """The entries of a mapping; nothing for any other value."""
        if isinstance(self.value, dict):
            yield from self.value.items()

    def elements(self) -> tuple[Node, ...]:
        """The elements of a list; nothing for any other value."""
        return self.value if isinstance(self.value, tuple) else ()

    def get(self, key: str) -> Node | None:
        """The value of a key, or None if this is no mapping or doesn't have it."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def problem(self, message: str, key: str | None = None) -> Problem:
        """A problem that stands here."""
        return Problem(self.file, self.line, self.key if key is None else key, message)

    def holding(self, value: dict[str, Node] | tuple[Node, ...]) -> Node:
        """A mapping or list in the place of this node. Raises SpecError where it would be too large or too deep."""
        children = value.values() if isinstance(value, dict) else value
        size = 1 + sum(child.size for child in children)
        depth = 1 + max((child.depth for child in children), default=0)
        if size > MAX_VALUES:
            raise SpecError(
                [self.problem(f"the file holds more than {MAX_VALUES} values (aliases and constants expanded)")]
            )
        if depth > MAX_DEPTH:
            raise SpecError([self.problem(f"values nest at most {MAX_DEPTH} deep")])
        return Node(value, self.file, self.line, self.key, size, depth)

    def with_entry(self, key: str, node: Node) -> Node:
        """This mapping with one entry set."""
        return self.holding({**(self.value if isinstance(self.value, dict) else {}), key: node})

    def with_element(self, index: int, node: Node) -> Node:
        """This list with one element set."""
        return self.holding(tuple(node if i == index else element for i, element in enumerate(self.elements())))


@dataclass
class _Open:
    """A mapping or list that is being read."""

    event: yaml.Event
    key: str
    anchor: str | None
    entries: dict[str, Node] = field(default_factory=dict)
    elements: list[Node] = field(default_factory=list)
    pending: tuple[str, int] | None = None  # a mapping's key without its value yet, and its line
    merges: bool = False  # whether that key is a plain <<
    merged: list[Node] = field(default_factory=list)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.event, yaml.MappingStartEvent)

    @property
    def child_key(self) -> str:
        if not self.is_mapping:
            return f"{self.key}[{len(self.elements)}]"
        name = self.pending[0] if self.pending else ""
        return f"{self.key}.{name}" if self.key else name


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _Composer:
    """Builds one document's tree from its events; `problems` collects what can be reported beside others."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node | None] = {}
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.count = 0

    def stop(self, line: int, message: str) -> SpecError:
        """The error that ends reading here, together with what was found before."""
        return SpecError([*self.problems, Problem(self.file, line, "", message)])

    def feed(self, event: yaml.Event) -> None:
        """Take one event. Raises SpecError where reading can't go on."""
        self.count += 1
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise self.stop(_line(event), "a second document begins here; one file holds one")
        if isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open(event)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close()

    def _top(self) -> _Open | None:
        return self.stack[-1] if self.stack else None

    def _wants_key(self) -> bool:
        top = self._top()
        return top is not None and top.is_mapping and top.pending is None

    def _place(self) -> str:
        top = self._top()
        return top.child_key if top else ""

    def _alias(self, event: yaml.AliasEvent) -> None:
        if self._wants_key():
            raise self.stop(_line(event), "a key is plain text, not an alias")
        node = self.anchors.get(event.anchor or "")
        if node is None:
            inside = event.anchor in self.anchors
            raise self.stop(
                _line(event),
                f"*{event.anchor} stands inside itself" if inside else f"there is no anchor &{event.anchor}",
            )
        self._add(replace(node, line=_line(event), key=self._place()), None)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if self._wants_key():
            self._key(event)
            return
        self._check_tag(event)
        plain = event.implicit[0] or event.tag in _PLAIN_TAGS - {_TEXT_TAG}
        line = self.stack[-1].pending[1] if self.stack and self.stack[-1].pending else _line(event)
        self._add(Node(scalar(event.value) if plain else event.value, self.file, line, self._place()), event.anchor)

    def _check_tag(self, event: yaml.ScalarEvent | yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if event.tag is not None and event.tag not in _PLAIN_TAGS and event.tag != "!":
            message = f"tags such as {event.tag[:80]} are not supported"
            self.problems.append(Problem(self.file, _line(event), self._place(), message))

    def _key(self, event: yaml.ScalarEvent) -> None:
        top = self.stack[-1]
        if event.value in top.entries:
            first = top.entries[event.value].line
            place = f"{top.key}.{event.value}" if top.key else event.value
            self.problems.append(
                Problem(self.file, _line(event), place, f"the key is given twice (first on line {first})")
            )
        top.pending = (event.value, _line(event))
        top.merges = event.value == "<<" and event.implicit[0]

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if self._wants_key():
            raise self.stop(_line(event), "a key is plain text, not a list or a mapping")
        if len(self.stack) >= MAX_DEPTH:
            raise self.stop(_line(event), f"values nest at most {MAX_DEPTH} deep")
        self._check_tag(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.stack.append(_Open(event, self._place(), event.anchor))

    def _close(self) -> None:
        done = self.stack.pop()
        line = _line(done.event)
        if self.stack and self.stack[-1].pending:
            line = self.stack[-1].pending[1]
        value = self._with_merged(done) if done.is_mapping else tuple(done.elements)
        self._add(Node(None, self.file, line, done.key).holding(value), done.anchor)

    def _with_merged(self, done: _Open) -> dict[str, Node]:
        """The entries of a mapping, after those that `<<` brings in, which its own replace."""
        entries: dict[str, Node] = {}
        for source in done.merged:
            for key, node in source.items():
                entries.setdefault(key, node)
        return {**entries, **done.entries}

    def _add(self, node: Node, anchor: str | None) -> None:
        if self.count > 2 * MAX_VALUES:
            raise self.stop(node.line, f"the file holds more than {MAX_VALUES} values")
        if anchor is not None:
            self.anchors[anchor] = node
        top = self._top()
        if top is None:
            self.root = node
        elif not top.is_mapping:
            top.elements.append(node)
        elif top.pending is not None:
            self._add_entry(top, top.pending[0], node)
            top.pending = None

    def _add_entry(self, top: _Open, key: str, node: Node) -> None:
        if not top.merges:
            top.entries[key] = node
            return
        sources = node.elements() or (node,)
        if any(not isinstance(source.value, dict) for source in sources):
            self.problems.append(node.problem("<< takes a mapping or a list of mappings"))
        top.merged.extend(sources)


def scalar(text: str) -> Scalar:
    """The value of a plain scalar: null, true, false, a whole number, or else text."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= 100 and _INTEGER.fullmatch(text):
        return int(text.replace("_", ""), 0)
    return text


def compose(text: str, file: str) -> Node:
    """The tree of one YAML document; `file` is what its problems name.

    Raises SpecError: syntax errors, duplicate keys, several documents, nesting or aliases without bound, an empty file.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    composer = _Composer(file)
    try:
        for event in yaml.parse(text, Loader=loader):
            composer.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise composer.stop(mark.line + 1 if mark else 1, f"not YAML: {reason or 'syntax error'}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, min(error.position, len(text))) + 1
        raise composer.stop(line, f"not YAML: a character that text doesn't hold ({error.reason})") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise composer.stop(1, f"not YAML: {str(error)[:200]}") from None
    if composer.problems:
        raise SpecError(composer.problems)
    if composer.root is None or composer.root.value is None:
        raise composer.stop(1, "the file is empty")
    return composer.root


def from_data(data: object, file: str, line: int, key: str) -> Node:
    """A tree of plain Python data (dicts, lists, scalars; floats become text), all in one place. Raises SpecError."""
    return _from_data(data, Node(None, file, line, key), 0)


def _from_data(data: object, place: Node, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise SpecError([place.problem(f"values nest at most {MAX_DEPTH} deep")])
    if isinstance(data, Mapping):
        entries = {}
        for name, value in data.items():
            inner = replace(place, key=f"{place.key}.{name}" if place.key else str(name))
            entries[str(name)] = _from_data(value, inner, depth + 1)
        return place.holding(entries)
    if isinstance(data, (list, tuple)):
        elements = tuple(
            _from_data(value, replace(place, key=f"{place.key}[{i}]"), depth + 1) for i, value in enumerate(data)
        )
        return place.holding(elements)
    if data is None or isinstance(data, (bool, int, str)):
        return replace(place, value=data)
    return replace(place, value=str(data))


def to_data(node: Node) -> Any:
    """A tree as plain Python data: dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: to_data(child) for key, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [to_data(child) for child in node.value]
    return node.value


def find(node: Node, path: tuple[str | int, ...]) -> Node:
    """The deepest node on a path; steps that a tree doesn't have (names that only a model knows) are passed over."""
    for step in path:
        child: Node | None = None
        if isinstance(step, str):
            child = node.get(step)
        elif step < len(node.elements()):
            child = node.elements()[step]
        node = child if child is not None else node
    return node
