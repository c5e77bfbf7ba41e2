"""YAML text to a tree of nodes with their positions.

Scalars keep the text as written; `scalars` resolves them. The tree is bounded in size and depth, so
that aliases cannot make a short text expensive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner
from ruamel.yaml.tokens import Token

from uno.diagnostics import Position, Problem, Rejected
from uno.model.syntax import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

# A UVN of 200 cells and 5000 particles takes 0.2 MB, and 0.7 s to read.
MAX_CHARACTERS = 4_000_000
# The definition itself is 5 deep; strategy_args may go deeper.
MAX_DEPTH = 32
# What a text of MAX_CHARACTERS reaches without aliases; with them, a short text could mean a
# billion nodes.
MAX_NODES = 500_000


class Scalar(Struct, frozen=True, kw_only=True):
    """A single value. `is_plain` means without quotes, so that it may be other than text."""

    text: str
    is_plain: bool
    position: Position
    size: int = 1
    depth: int = 0


class SequenceNode(Struct, frozen=True, kw_only=True):
    """A list of nodes. `is_block` means that it begins on lines of its own."""

    items: tuple[Node, ...]
    is_block: bool
    position: Position
    size: int
    depth: int


class MappingNode(Struct, frozen=True, kw_only=True):
    """Pairs of key and value, in the order in which they were written, duplicates included."""

    pairs: tuple[tuple[Node, Node], ...]
    is_block: bool
    position: Position
    size: int
    depth: int


Node: TypeAlias = Scalar | SequenceNode | MappingNode


def compose(text: str, *, file: str) -> Node | None:
    """Return the root node of a YAML 1.2 document (JSON is one too), None if there is nothing.

    Raises `Rejected` with one problem if `text` is not YAML, or is more than one document, or too
    large when its aliases are followed.
    """
    if len(text) > MAX_CHARACTERS:
        _refuse(
            _place(file), f"the text has {len(text)} characters", f"use {MAX_CHARACTERS} at most"
        )
    builder = _Builder(file)
    try:
        for event in _events(text):
            builder.take(event)
    except MarkedYAMLError as error:
        raise Rejected(_syntax_problem(error, file)) from error
    except ReaderError as error:
        raise Rejected(_character_problem(error, text, file)) from error
    except (YAMLError, ValueError, ArithmeticError, LookupError) as error:
        # Escapes and directives with numbers beyond all bounds get past the scanner's own checks.
        raise Rejected(builder.problem("this is not YAML", _SYNTAX_HINT)) from error
    return builder.root


class _Open(Struct):
    """A collection whose end has not been seen."""

    start: MappingStartEvent | SequenceStartEvent
    position: Position
    items: list[Node] = field(default_factory=list)


class _Builder:
    """Builds the tree from the parser's events, with a stack of its own and no recursion."""

    def __init__(self, file: str) -> None:
        self.root: Node | None = None
        self._file = file
        self._open: list[_Open] = []
        # None marks an anchor whose node is still open.
        self._anchors: dict[str, Node | None] = {}
        self._here = _place(file)
        self._documents = 0
        self._size = 0

    def take(self, event: Event) -> None:
        self._here = _mark_place(event.start_mark, self._file)
        match event:
            case DocumentStartEvent():
                self._start_document()
            case AliasEvent():
                self._add(self._aliased(event.anchor))
            case ScalarEvent():
                self._add(self._scalar(event), event.anchor)
            case SequenceStartEvent() | MappingStartEvent():
                self._start(event)
            case SequenceEndEvent() | MappingEndEvent():
                opened = self._open.pop()
                self._add(_collection(opened), opened.start.anchor)
            case _:
                pass

    def problem(self, what: str, hint: str) -> Problem:
        return Problem(what=what, hint=hint, where=self._here)

    def _start_document(self) -> None:
        self._documents += 1
        if self._documents > 1:
            _refuse(
                self._here,
                "a second document begins here",
                "remove the --- and what does not belong to this UVN",
            )

    def _scalar(self, event: ScalarEvent) -> Scalar:
        is_text = self._is_text(event) or not event.implicit[0]
        return Scalar(text=event.value, is_plain=not is_text, position=self._here)

    def _start(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        self._is_text(event)
        if len(self._open) >= MAX_DEPTH:
            _refuse(self._here, f"this is nested more than {MAX_DEPTH} deep", "flatten it")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(_Open(event, self._here))

    def _is_text(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> bool:
        """Whether a tag marks this as text. Any other tag is refused."""
        if event.tag is None:
            return False
        if isinstance(event, ScalarEvent) and event.tag in {"!", "tag:yaml.org,2002:str"}:
            return True
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        return _refuse(self._here, f"the tag {printable(tag)} has no meaning here", "remove it")

    def _aliased(self, anchor: str) -> Node:
        if anchor not in self._anchors:
            _refuse(
                self._here,
                f"there is no anchor &{printable(anchor)} above this alias",
                "define it",
            )
        node = self._anchors[anchor]
        if node is None:
            _refuse(
                self._here,
                f"the alias *{printable(anchor)} refers to a value that contains it",
                "remove it",
            )
        if len(self._open) + node.depth > MAX_DEPTH:
            _refuse(self._here, f"this is nested more than {MAX_DEPTH} deep", "flatten it")
        self._count(node.size)
        return replace(node, position=self._here)

    def _add(self, node: Node, anchor: str | None = None) -> None:
        if isinstance(node, Scalar):
            self._count(1)
        if anchor is not None:
            self._anchors[anchor] = node
        if self._open:
            self._open[-1].items.append(node)
        else:
            self.root = node

    def _count(self, nodes: int) -> None:
        self._size += nodes
        if self._size > MAX_NODES:
            _refuse(
                self._here,
                f"the text holds more than {MAX_NODES} values when its aliases are followed",
                "use fewer aliases",
            )


def _collection(opened: _Open) -> SequenceNode | MappingNode:
    items = tuple(opened.items)
    is_block = not opened.start.flow_style
    size = 1 + sum(item.size for item in items)
    depth = 1 + max((item.depth for item in items), default=0)
    if isinstance(opened.start, SequenceStartEvent):
        return SequenceNode(
            items=items, is_block=is_block, position=opened.position, size=size, depth=depth
        )
    pairs = tuple(zip(items[::2], items[1::2], strict=True))
    return MappingNode(
        pairs=pairs, is_block=is_block, position=opened.position, size=size, depth=depth
    )


_SYNTAX_HINT = "check the indentation, colons, quotes and brackets here and in the line above"
_TAB_HINT = "indent with spaces; YAML takes no tabs there"


class _TabScanner(Scanner):
    """A scanner that takes tabs after a colon or a value as white space (YAML 1.2.2, 6.2)."""

    def fetch_value(self) -> None:
        super().fetch_value()
        self._pass_white_space()

    def fetch_plain(self) -> None:
        super().fetch_plain()
        self._pass_white_space()

    def fetch_flow_scalar(self, style: str) -> None:
        super().fetch_flow_scalar(style)
        self._pass_white_space()

    def fetch_flow_collection_end(self, token: type[Token]) -> None:
        super().fetch_flow_collection_end(token)
        self._pass_white_space()

    def _pass_white_space(self) -> None:
        # In the line that the token is in: a tab in front of the next one is a mistake.
        if self.reader.line == self.tokens[-1].end_mark.line:
            while self.reader.peek() in " \t":
                self.reader.forward()


def _events(text: str) -> Iterator[Event]:
    parser = YAML(typ="safe", pure=True)
    parser.Scanner = _TabScanner
    events: Iterator[Event] = parser.parse(text)
    return events


def _syntax_problem(error: MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = _mark_place(mark, file) if mark else _place(file)
    reason = printable(" ".join(str(error.problem or error.context or "").split()))
    is_tab = "\\t" in reason
    began = error.context_mark
    also = (_mark_place(began, file),) if began and mark and began.line != mark.line else ()
    return Problem(
        what=f"this is not YAML: {reason}" if reason else "this is not YAML",
        hint=_TAB_HINT if is_tab else _SYNTAX_HINT,
        where=where,
        also=also,
    )


def _character_problem(error: ReaderError, text: str, file: str) -> Problem:
    before = text[: error.position]
    where = Position(
        file=file,
        line=before.count("\n") + 1,
        column=len(before) - (before.rfind("\n") + 1) + 1,
    )
    code = error.character if isinstance(error.character, int) else ord(error.character)
    return Problem(
        what=f"the character U+{code:04X} is not allowed in YAML",
        hint="remove it, or is this not a text file?",
        where=where,
    )


def _mark_place(mark: object, file: str) -> Position:
    line, column = getattr(mark, "line", 0), getattr(mark, "column", 0)
    return Position(file=file, line=line + 1, column=column + 1)


def _place(file: str) -> Position:
    return Position(file=file, line=1, column=1)


def _refuse(where: Position, what: str, hint: str) -> NoReturn:
    raise Rejected(Problem(what=what, hint=hint, where=where))
