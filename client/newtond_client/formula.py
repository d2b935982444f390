"""A small strict grammar for choosing columns: ``y ~ a + C(b) + log(c) - 1``.

    formula  = name "~" term { ("+" | "-") term }
    term     = "." | "0" | "1" | name | "C(" name ")" | function "(" name ")"
    function = "log" | "log1p" | "sqrt" | "exp"
    name     = letters, digits, "_" and "."; any other between backquotes

There is an intercept unless ``- 1`` or ``+ 0`` says otherwise. ``.`` is every column but the target. Text and
categorical columns are categories also without ``C()``. With an intercept each category leaves out its first
level, without one the first category keeps all of its levels and the others leave out theirs: so the columns
say everything once. Anything else is refused with its place: there are no interactions.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from newtond_client.errors import InvalidInput
from newtond_client.tables import Column, Encoding, check_names, column_of, is_categorical, levels_of

FUNCTIONS = {"log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "exp": np.exp}
TOKEN = re.compile(r"\s*(?:(?P<name>[^\W\d][\w.]*|`[^`]+`)|(?P<number>[01](?![\w.]))|(?P<mark>[~+\-().]))")


@dataclass(frozen=True)
class Term:
    """A column, as it is, as categories, or through a function."""

    name: str
    function: str | None = None

    def __str__(self) -> str:
        return f"{self.function}({self.name})" if self.function else self.name


@dataclass(frozen=True)
class Formula:
    """A parsed formula; ``everything`` stands for the columns that it does not name."""

    target: Term
    terms: tuple[Term, ...]
    dropped: frozenset[str]
    everything: bool
    intercept: bool

    def encoding(self, table: Any) -> Encoding:
        """Return how the right-hand side becomes a design; raises InvalidInput for an unknown column."""
        full = not self.intercept
        columns = []
        for term in self._terms(table):
            series = column_of(table, term.name)
            if term.function == "C" or (term.function is None and is_categorical(series)):
                columns.append(Column(term.name, levels_of(series), not full))
                full = False
            else:
                columns.append(Column(str(term)))
        if not columns:
            raise InvalidInput("The formula chooses no column.")
        encoding = Encoding(tuple(columns))
        check_names(encoding.names())
        return encoding

    def _terms(self, table: Any) -> Iterator[Term]:
        named = {term.name for term in self.terms} | {self.target.name} | self.dropped
        yield from self.terms
        if self.everything:
            yield from (Term(str(name)) for name in table.columns if str(name) not in named)

    def prepared(self, table: Any) -> Any:
        """Return the table with a column for each function of one that the right-hand side has."""
        asked = [term for term in self.terms if term.function in FUNCTIONS]
        return table.assign(**{str(term): _applied(table, term) for term in asked})

    def values(self, table: Any) -> NDArray[np.float64]:
        """Return the target (n,)."""
        if self.target.function is None:
            return Column(self.target.name).numbers(table)
        return _applied(table, self.target)


def _applied(table: Any, term: Term) -> NDArray[np.float64]:
    values = Column(term.name).numbers(table)
    with np.errstate(all="ignore"):
        result: NDArray[np.float64] = FUNCTIONS[term.function or ""](values)
    if not np.isfinite(result).all():
        raise InvalidInput(f"{term}: row {int(np.argmax(~np.isfinite(result)))} is outside of its range.")
    return result


def parse(text: str) -> Formula:
    """Return the formula that ``text`` is; raises InvalidInput with the column of the fault."""
    return _Parser(text).formula()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.position = 0
        self.terms: dict[str, Term] = {}
        self.dropped: set[str] = set()
        self.everything, self.intercept = False, True

    def _tokens(self) -> Iterator[tuple[str, str, int]]:
        position = 0
        while self.text[position:].strip():
            match = TOKEN.match(self.text, position)
            if match is None:
                bad = position + len(self.text[position:]) - len(self.text[position:].lstrip())
                self._refuse(f"{self.text[bad]!r} has no meaning here", bad)
            kind = match.lastgroup or ""
            yield kind, match[kind].strip("`"), match.start(kind)
            position = match.end()

    def formula(self) -> Formula:
        target = self._target()
        self._take("+")
        while self.position < len(self.tokens):
            self._take(self._sign())
        kept = tuple(term for term in self.terms.values() if term.name not in self.dropped)
        return Formula(target, kept, frozenset(self.dropped), self.everything, self.intercept)

    def _target(self) -> Term:
        place = self._peek()[2]
        target = self._term()
        if target.function == "C":
            self._refuse("the target is a number, not a category", place)
        self._expect("~")
        return target

    def _take(self, sign: str) -> None:
        kind, word, place = self._peek()
        if kind == "number":
            self._next()
            self.intercept = (sign == "+") == (word == "1")
        elif (kind, word) == ("mark", "."):
            self._next()
            if sign == "-":
                self._refuse("`-` takes away one column, not all", place)
            self.everything = True
        else:
            self._take_term(sign, self._term(), place)

    def _take_term(self, sign: str, term: Term, place: int) -> None:
        if sign == "-":
            self.dropped.add(term.name)
        elif str(term) in self.terms:
            self._refuse(f"{term} comes twice", place)
        else:
            self.terms[str(term)] = term

    def _term(self) -> Term:
        kind, word, place = self._next()
        if kind != "name":
            self._refuse("a column is due here", place)
        if self._peek()[1] != "(" or self._peek()[0] != "mark":
            return Term(word)
        if word != "C" and word not in FUNCTIONS:
            self._refuse(f"there is no function {word}; there are C, {', '.join(FUNCTIONS)}", place)
        self.position += 1
        kind, name, place = self._next()
        if kind != "name":
            self._refuse("a column is due here", place)
        self._expect(")")
        return Term(name, word)

    def _sign(self) -> str:
        kind, word, place = self._next()
        if kind != "mark" or word not in "+-":
            self._refuse("`+` or `-` is due here", place)
        return word

    def _expect(self, mark: str) -> None:
        kind, word, place = self._next()
        if (kind, word) != ("mark", mark):
            self._refuse(f"`{mark}` is due here", place)

    def _peek(self) -> tuple[str, str, int]:
        return self.tokens[self.position] if self.position < len(self.tokens) else ("end", "", len(self.text))

    def _next(self) -> tuple[str, str, int]:
        token = self._peek()
        self.position += 1
        return token

    def _refuse(self, why: str, place: int) -> NoReturn:
        raise InvalidInput(f"The formula, at column {place + 1}: {why}.\n  {self.text}\n  {' ' * place}^")
