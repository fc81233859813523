"""The kinds of answers: how each is read, when two are the same, what can be said of a wrong one.

A kind turns an answer into a *reading*, or raises ``NotThisKind`` with a sentence. Right and wrong
answers of the catalog are read in the same way, so that they are compared as equals.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .calling import LIMIT_SECONDS, Call, call, copied
from .values import MANY, NotThisKind, called, close, matched, read_numbers


class Kind:
    """A kind of answer. ``is_function``: whether the answer itself is something to call."""

    is_function = False

    @property
    def precision(self) -> str:
        """How exact an answer has to be, for ``expects``; may be empty."""
        return ""

    def read(self, answer: Any) -> Any:
        """What the answer says, whatever its clothes; ``NotThisKind`` if it says nothing."""
        raise NotImplementedError

    def same(self, reading: Any, right: Any) -> bool:
        """Whether two readings are the same answer."""
        raise NotImplementedError

    def tell(self, reading: Any, right: Any) -> str:
        """What can be said of a wrong reading without giving the right one away."""
        raise NotImplementedError


def plain_word(word: object) -> str:
    """A word without case, article, quotes and hyphens; yes and no for truth values."""
    if isinstance(word, bool):
        return "yes" if word else "no"
    plain = re.sub(r"[\s\"'`“”._-]+", " ", str(word)).strip().casefold()
    return plain.removeprefix("the ")


def in_order(answer: Mapping[Any, Any], names: tuple[str, ...]) -> list[Any]:
    """The values of a dict by its names; ``NotThisKind`` if these are others."""
    given = {plain_word(key): value for key, value in answer.items()}
    if set(given) != {plain_word(name) for name in names}:
        raise NotThisKind(f"It is a dict, whose names are not {', '.join(names)}.")
    return [given[plain_word(name)] for name in names]


def tolerance(absolute: float, relative: float) -> str:
    """A tolerance in words: "to within 0.003", "to within 0.02 plus 0.5 %"."""
    parts = [f"{absolute:.6f}".rstrip("0").rstrip(".")] if absolute else []
    parts += [f"{100 * relative:g} %"] if relative else []
    return "to within " + " plus ".join(parts) if parts else "exactly"


@dataclass(frozen=True)
class Numbers(Kind):
    """One number or several with a name each, to within ``absolute`` or a share ``relative``.

    Several may come as a list, a tuple, an array, a tensor, or as a dict of their names.
    """

    names: tuple[str, ...]
    absolute: float = 0.0
    relative: float = 0.0
    labels: bool = False  # whether they only name something, such as the number of a unit

    @property
    def precision(self) -> str:
        """The tolerance in words."""
        return tolerance(self.absolute, self.relative)

    def read(self, answer: Any) -> Tensor:
        """The numbers as one vector."""
        if isinstance(answer, Mapping) and len(answer) == len(self.names) > 1:
            answer = in_order(answer, self.names)
        found = read_numbers(answer)
        count = sum(part.numel() for part in found)
        if count != len(self.names):
            wanted = ", ".join(self.names)
            held = f"{count:,} number{'' if count == 1 else 's'}"
            raise NotThisKind(f"It holds {held}, not {len(self.names)}: {wanted}.")
        return torch.cat([part.double().flatten() for part in found])

    def same(self, reading: Tensor, right: Tensor) -> bool:
        """Whether each number is near enough."""
        return bool(close(reading, right, self.absolute, self.relative).all())

    def tell(self, reading: Tensor, right: Tensor) -> str:
        """Which number is the first wrong one, and in which direction."""
        place = int((~close(reading, right, self.absolute, self.relative)).nonzero()[0])
        given, expected = reading[place].item(), right[place].item()
        if self.labels:
            return f"The first that differs is {self.names[place]}." if len(right) > 1 else ""
        who = f"The first that differs is {self.names[place]}: it" if len(right) > 1 else "It"
        if given != given:
            return f"{who} is nan, which is no number: a division 0/0, or the log of a negative?"
        if given * expected < 0:
            return f"{who} has the wrong sign."
        size, wanted = abs(given), abs(expected)
        word = "too large" if given > expected else "too small"
        if wanted and (size > 10 * wanted or size < wanted / 10):
            return f"{who} is {word}, by more than a factor of ten."
        near = wanted and abs(given - expected) < 0.1 * wanted
        return f"{who} is {word}{', by less than a tenth' if near else ''}."


def number(name: str = "the number", absolute: float = 0.0, relative: float = 0.0) -> Numbers:
    """The kind of a single number."""
    return Numbers((name,), absolute, relative)


@dataclass(frozen=True)
class Between(Kind):
    """A number that depends on seeds or on the text, right anywhere from ``low`` to ``high``."""

    low: float
    high: float
    relative: float = 0.01  # how near a mistake's number has to be to be taken for it

    def read(self, answer: Any) -> float:
        """The number; a truth value is none."""
        found = read_numbers(answer)
        if any(part.dtype is torch.bool for part in found):
            raise NotThisKind(f"It is {called(answer)}, where a number is expected.")
        return float(number().read(found))

    def same(self, reading: float, right: float) -> bool:
        """Whether a number lies in the interval, as the right one does; or is that of a mistake."""
        if self.low <= right <= self.high:
            return self.low <= reading <= self.high
        return abs(reading - right) <= self.relative * abs(right)

    def tell(self, reading: float, right: float) -> str:
        """In which direction it lies."""
        if reading != reading:
            return "It is nan, which is no number."
        return "It is too large." if reading > self.high else "It is too small."


MANY_NAMES = 1000  # more are not read
SEPARATORS = r"(?:[,;\n]|->|>|\band\b)+\s*"  # between the names of a list
NOTHING = {"none", "never", "nothing"}  # options that an empty list means too


def meant(word: str, options: Mapping[str, str]) -> str | None:
    """The option that is the word, or the only one that stands in it: "1 kept", "the kept road"."""
    plain = plain_word(word)
    if plain in options:
        return options[plain]
    inside = [key for key in options if re.search(rf"\b{re.escape(key)}\b", plain)]
    return options[inside[0]] if len(inside) == 1 else None


@dataclass(frozen=True)
class Choice(Kind):
    """One of several words."""

    options: tuple[str, ...]

    @property
    def precision(self) -> str:
        """The words."""
        return "one of " + ", ".join(map(repr, self.options))

    def read(self, answer: Any) -> str:
        """The option meant."""
        words = {plain_word(option): option for option in self.options}
        option = meant(plain_word(answer), words) if isinstance(answer, (str, bool)) else None
        if option is None:
            shown = repr(answer) if isinstance(answer, str) else called(answer)
            raise NotThisKind(f"It is {shown[:60]}, and none of the words to choose from.")
        return option

    def same(self, reading: str, right: str) -> bool:
        """Whether both are the same word."""
        return reading == right

    def tell(self, reading: str, right: str) -> str:
        """Only that it is another."""
        return f"It is not {reading!r}."


@dataclass(frozen=True)
class Names(Kind):
    """Some of several names, as a set or in an order (``ordered``)."""

    options: tuple[str, ...]
    ordered: bool = False

    @property
    def precision(self) -> str:
        """The names to choose from."""
        kind = "in order" if self.ordered else "in any order"
        return f"{kind}, from " + ", ".join(self.options)

    def read(self, answer: Any) -> tuple[str, ...]:
        """The options meant, in the order given or in that of the options."""
        words = {plain_word(option): option for option in self.options}
        if isinstance(answer, Mapping) and all(type(v) is bool for v in answer.values()):
            answer = [name for name, belongs in answer.items() if belongs]
        if isinstance(answer, Mapping) and len(answer) == len(self.options) and not self.ordered:
            values = list(answer.values())
            if all(type(v) in (int, float) for v in values) and len(set(values)) > 1:
                raise NotThisKind("It is a dict of numbers: hand in only the names that belong.")
        if isinstance(answer, str):
            one, several = plain_word(answer) in words, re.search(SEPARATORS, answer)
            answer = (
                [answer] if one else re.split(SEPARATORS, answer) if several else answer.split()
            )
        if not isinstance(answer, Iterable):
            raise NotThisKind(f"It is {called(answer)}, not a list of names.")
        given = [part for part in itertools.islice(answer, MANY_NAMES) if str(part).strip()]
        if not given and NOTHING & set(words):
            given = [option for option in self.options if plain_word(option) in NOTHING]
        found = []
        for part in given:
            option = meant(part, words) if isinstance(part, str) else None
            if option is None:
                shown = repr(part) if isinstance(part, str) else called(part)
                raise NotThisKind(f"{shown[:60]} is none of the names to choose from.")
            found.append(option)
        if self.ordered:
            return tuple(found)
        return tuple(option for option in self.options if option in found)

    def same(self, reading: tuple[str, ...], right: tuple[str, ...]) -> bool:
        """Whether the same names are there, in the same order if it matters."""
        return reading == right

    def tell(self, reading: tuple[str, ...], right: tuple[str, ...]) -> str:
        """How many belong there, or the first place that does not."""
        extra = sum(name not in right for name in reading)
        missing = len(set(right) - set(reading))
        if not reading:
            return "The list is empty."
        if (extra or missing) and len(right) <= 2:
            return "It is not these."
        if not self.ordered or extra or missing:
            belong = (
                f"{extra} of your {len(reading)} names {'do' if extra > 1 else 'does'} not belong"
            )
            lack = f"{missing} {'are' if missing > 1 else 'is'} missing"
            belong = belong if extra else "All of yours belong"
            return f"{belong}; {lack if missing else 'none is missing'}."
        if len(reading) != len(right):
            twice = len(set(right)) == len(right)
            rest = "and some stand there twice" if twice else f"where {len(right)} are asked for"
            return f"There are {len(reading)} names, {rest}."
        if len(right) <= 2:
            return "It is another order."
        if len(self.options) <= 2:
            return "Not all of them are right."
        place = next(k for k in range(len(right)) if reading[k] != right[k])
        return f"The first place that is not right is number {place + 1}."


@dataclass(frozen=True)
class TensorOf(Kind):
    """A tensor, or several, to within ``absolute`` plus a share ``relative`` of each number."""

    absolute: float = 1e-6
    relative: float = 1e-4
    names: tuple[str, ...] = ()  # of the tensors, for what is said of them

    @property
    def precision(self) -> str:
        """The tolerance in words."""
        return tolerance(self.absolute, self.relative)

    def read(self, answer: Any) -> list[Tensor]:
        """The tensors."""
        return read_numbers(answer)

    def same(self, reading: list[Tensor], right: list[Tensor]) -> bool:
        """Whether shapes and numbers agree."""
        given = matched(reading, right)
        return [part.shape for part in given] == [part.shape for part in right] and all(
            bool(close(one, other, self.absolute, self.relative).all())
            for one, other in zip(given, right, strict=True)
        )

    def tell(self, reading: list[Tensor], right: list[Tensor]) -> str:
        """The shape, or the size of the difference and the first place of it."""
        given = matched(reading, right)
        if len(given) != len(right):
            return f"It holds {tensors(len(given))}, expected {len(right)}{self.listed(right)}."
        for place, (one, other) in enumerate(zip(given, right, strict=True)):
            which = self.names[place] if len(self.names) == len(right) else f"number {place + 1}"
            which = which if len(right) > 1 else "it"
            if one.shape != other.shape:
                shapes = f"{tuple(one.shape)}, expected {tuple(other.shape)}"
                return f"The shape of {which} is {shapes}."
            far = ~close(one, other, self.absolute, self.relative)
            if far.any() and other.dtype is torch.bool and other.numel() == 1:
                return f"It says {bool(one.any())}: work this case out by hand."
            if far.any():
                start = which if which in self.names else which.capitalize()
                names = self.names if len(right) == 1 else ()
                return f"{start} {difference_of(one, other, far, names)}"
        return "It differs."

    def listed(self, right: list[Tensor]) -> str:
        """The names of several tensors, if they have any."""
        return f": {', '.join(self.names)}" if len(self.names) == len(right) > 1 else ""


def tensors(count: int) -> str:
    """A number of tensors in words."""
    return f"{count} tensor{'' if count == 1 else 's'}"


def difference_of(one: Tensor, other: Tensor, far: Tensor, names: tuple[str, ...] = ()) -> str:
    """How far a tensor is off, and where first; the numbers of a vector may have names."""
    where = f"at index {tuple(far.nonzero()[0].tolist())}"
    if far.dim() == 1 and len(far) == len(names) > 1:
        where = f"at {names[int(far.nonzero()[0])]}"
    if not one.double().isfinite().all():
        return f"holds inf or nan; the first difference is {where}."
    largest = (one.double() - other.double()).abs().max().item()
    if far.numel() == 1:
        return f"is off by {largest:.2g}."
    count = f"{int(far.sum())} of {far.numel()} numbers differ"
    return f"is off by at most {largest:.2g} ({count}, the first {where})."


@dataclass(frozen=True)
class Shapes(Kind):
    """The shapes of several things, each as a tuple of sizes, or as the thing itself.

    They may come in a list in the order of ``names``, or in a dict.
    """

    names: tuple[str, ...]

    @property
    def precision(self) -> str:
        """The names, in their order."""
        return "in this order: " + ", ".join(self.names)

    def read(self, answer: Any) -> tuple[tuple[int, ...], ...]:
        """The shapes as tuples."""
        if isinstance(answer, Mapping):
            known = set(answer) == set(self.names)
            answer = [answer[name] for name in self.names] if known else list(answer.values())
        if not isinstance(answer, (list, tuple)) or len(answer) != len(self.names):
            raise NotThisKind(f"It is {called(answer)}, not a list of {len(self.names)} shapes.")
        return tuple(map(self.shape_of, answer))

    def shape_of(self, part: Any) -> tuple[int, ...]:
        """One shape, from a tuple, a list, a number or a tensor.

        A short vector of whole numbers is taken for the shape itself.
        """
        shape = getattr(part, "shape", part)
        if isinstance(part, (Tensor, np.ndarray)) and part.ndim == 1 and len(part) <= 4:
            sizes = part.tolist()
            shape = sizes if all(type(size) is int for size in sizes) else shape
        sizes = tuple(shape) if isinstance(shape, (list, tuple)) else (shape,)
        if not all(type(size) is int for size in sizes):
            raise NotThisKind(f"{called(part).capitalize()} in it is no shape, such as (2, 3).")
        return sizes

    def same(
        self, reading: tuple[tuple[int, ...], ...], right: tuple[tuple[int, ...], ...]
    ) -> bool:
        """Whether all shapes agree."""
        return reading == right

    def tell(self, reading: Sequence[tuple[int, ...]], right: Sequence[tuple[int, ...]]) -> str:
        """Which shape is the first wrong one, and in what."""
        place = next(k for k in range(len(right)) if reading[k] != right[k])
        given, expected = reading[place], right[place]
        said = f"The first shape that is not right is that of {self.names[place]}"
        if sorted(given) == sorted(expected):
            return f"{said}: the sizes are the right ones, in another order."
        return f"{said}{': it has another number of axes' if len(given) != len(expected) else ''}."


@dataclass(frozen=True)
class Case:
    """What a function is tried on: arguments by name, in their order, and words for them."""

    arguments: dict[str, Any]
    words: str = "a small case"


@dataclass(eq=False)
class Outcome:
    """What a function made of a case: its numbers, their place in the graph, their gradients."""

    case: Case
    call: Call
    numbers: list[Tensor] = field(default_factory=list)
    graph: list[tuple[bool, bool]] = field(default_factory=list)  # requires_grad, is_leaf
    gradients: dict[str, Tensor | None] = field(default_factory=dict)
    went_back: bool = False  # whether the function itself has called backward
    trouble: str = ""


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in nested lists, tuples and dicts, as they are."""
    if isinstance(value, Tensor):
        return [value]
    parts = list(value.values()) if isinstance(value, Mapping) else value
    if isinstance(parts, (list, tuple, torch.nn.ParameterList)) and len(parts) <= MANY:
        return [tensor for part in parts for tensor in tensors_in(part)]
    return []


def floating(argument: Any, dtype: torch.dtype) -> Any:
    """An argument with its floating-point tensors in ``dtype``."""
    if isinstance(argument, Tensor):
        cast = argument.detach().to(dtype) if argument.is_floating_point() else argument
        return cast.clone().requires_grad_(argument.requires_grad)
    if isinstance(argument, (list, tuple)):
        return type(argument)(floating(part, dtype) for part in argument)
    return argument


@dataclass(frozen=True)
class Function(Kind):
    """A function, called on small cases in float64 (in float32 where it insists on that).

    ``cases`` makes the cases anew. ``graph``: whether results must depend on autograd as the right
    ones do. ``gradient`` names the arguments whose gradients are compared too.
    """

    cases: Callable[[], Sequence[Case]]
    graph: bool = False
    gradient: tuple[str, ...] = ()
    gradient_of_first: bool = False  # whether only the first result's gradients count
    absolute: float = 1e-5
    relative: float = 1e-4
    results: tuple[str, ...] = ()  # their names, for what is said of them
    may_write: bool = False  # whether it may change its arguments
    is_function = True

    @property
    def precision(self) -> str:
        """The tolerance in words."""
        return tolerance(self.absolute, self.relative)

    @property
    def plain(self) -> TensorOf:
        """How results are compared."""
        return TensorOf(self.absolute, self.relative, self.results)

    def read(self, answer: Any) -> list[Outcome]:
        """What the function makes of each case."""
        if not callable(answer):
            raise NotThisKind(
                f"It is {called(answer)}, not a function: hand in its name, without brackets."
            )
        outcomes: list[Outcome] = []
        end = time.monotonic() + LIMIT_SECONDS
        for case in self.cases():
            outcomes.append(self.tried(answer, case, end))
            if time.monotonic() > end:
                break
        return outcomes

    def tried(self, function: Callable[..., Any], case: Case, end: float) -> Outcome:
        """The outcome in float64, or in float32 if only that works."""
        outcome = self.tried_in(function, case, torch.float64, end)
        if outcome.trouble.startswith("raises"):
            other = self.tried_in(function, case, torch.float32, end)
            outcome = outcome if other.trouble else other
        return outcome

    def tried_in(
        self, function: Callable[..., Any], case: Case, dtype: torch.dtype, end: float
    ) -> Outcome:
        """Call the function on a copy of the case and read what comes back."""
        arguments = {name: floating(copied(part), dtype) for name, part in case.arguments.items()}
        leaves = {name: tensors_in(arguments[name]) for name in self.gradient}
        for leaf in (leaf for group in leaves.values() for leaf in group):
            leaf.requires_grad_(True)
        made = call(function, arguments, max(end - time.monotonic(), 0.01))
        went_back = any(leaf.grad is not None for group in leaves.values() for leaf in group)
        outcome = Outcome(case, made, went_back=went_back, trouble=made.trouble)
        if made.trouble:
            return outcome
        if made.value is None:
            prints = "prints its result, but returns" if made.printed.strip() else "returns"
            outcome.trouble = f"{prints} None: it has to end with `return`"
            return outcome
        if isinstance(made.value, Mapping) and len(made.value) == len(self.results) > 1:
            with contextlib.suppress(NotThisKind):
                made.value = in_order(made.value, self.results)
        try:
            outcome.numbers = read_numbers(made.value)
        except NotThisKind as error:
            words = str(error)
            outcome.trouble = f"returns {called(made.value)}. {words.rstrip('.')}"
            return outcome
        outcome.graph = [(part.requires_grad, part.is_leaf) for part in tensors_in(made.value)]
        whole = tensors_in(made.value)[:1] if self.gradient_of_first else made.value
        outcome.gradients = gradients_of(whole, leaves)
        return outcome

    def same(self, reading: list[Outcome], right: list[Outcome]) -> bool:
        """Whether numbers, graph and gradients agree in every case."""
        return self.first_difference(reading, right) is None

    def first_difference(
        self, reading: list[Outcome], right: list[Outcome]
    ) -> tuple[Outcome, str] | None:
        """The first case that differs, and in what; None if none does."""
        plain = self.plain
        for one, other in zip(reading, right, strict=False):
            if one.trouble or other.trouble:
                if one.trouble != other.trouble or one.call.stopped:
                    return one, "trouble"
                continue
            if not plain.same(one.numbers, other.numbers):
                return one, "numbers"
            if self.graph and one.graph != other.graph:
                return one, "graph"
            for name, expected in other.gradients.items():
                given = one.gradients[name]
                if (given is None) != (expected is None):
                    return one, "gradient"
                if (
                    given is not None
                    and expected is not None
                    and not plain.same([given], [expected])
                ):
                    return one, "gradient"
            if one.call.changed != other.call.changed and not self.may_write:
                return one, "changed"
        return None if len(reading) == len(right) else (reading[-1], "trouble")

    def tell(self, reading: list[Outcome], right: list[Outcome]) -> str:
        """The first case that is wrong, and in what."""
        found = self.first_difference(reading, right)
        if found is None:
            return "It differs."
        outcome, aspect = found
        place = reading.index(outcome)
        expected, on = right[place], f"on {outcome.case.words}"
        if aspect == "trouble":
            words = outcome.trouble or "gives a result where none is possible"
            return f"Your function {words} ({on})."
        before = f"It is right on {reading[place - 1].case.words}. " if place else ""
        if aspect == "numbers":
            said = self.plain.tell(outcome.numbers, expected.numbers)
            said = said[:1].lower() + said[1:] if said.startswith(("It ", "The ")) else said
            return f"{before}On {outcome.case.words}: {said}"
        if aspect == "changed":
            names = ", ".join(outcome.call.changed) or "nothing"
            return (
                f"The numbers are right, but the function writes into its argument {names}, "
                "so that the caller's own changes too: make a new one instead."
            )
        if aspect == "graph":
            return f"The numbers are right ({on}), but {graph_words(outcome, expected)}."
        wrong = [
            name
            for name, grad in expected.gradients.items()
            if (grad is None) != (outcome.gradients[name] is None)
            or (
                grad is not None and not self.plain.same([outcome.gradients[name]], [grad])  # type: ignore[list-item]
            )
        ]
        return (
            f"{before}The numbers are right {on}, but the gradient with respect to "
            f"{wrong[0]} is {'missing' if outcome.gradients[wrong[0]] is None else 'not'}"
            f"{'' if outcome.gradients[wrong[0]] is None else ' right'}."
        )


def graph_words(outcome: Outcome, expected: Outcome) -> str:
    """How the results' place in the graph differs."""
    given, right = outcome.graph, expected.graph
    if [grad for grad, _ in given] != [grad for grad, _ in right]:
        has = any(grad for grad, _ in given) and not any(grad for grad, _ in right)
        if has:
            return "they are still connected to what they were computed from"
        return "some are not connected as they should be (requires_grad)"
    return "some are results of other operations where leaves are expected (is_leaf)"


def gradients_of(value: Any, leaves: dict[str, list[Tensor]]) -> dict[str, Tensor | None]:
    """The gradient of a weighted sum of all results, for each group of leaves; None for none."""
    results = [part for part in tensors_in(value) if part.requires_grad]
    everything = [leaf for group in leaves.values() for leaf in group]
    if not results or not everything:
        return dict.fromkeys(leaves)
    total = sum(
        (part.double() * torch.linspace(0.5, 1.5, part.numel()).reshape(part.shape)).sum()
        for part in results
    )
    try:
        grads = iter(torch.autograd.grad(total, everything, allow_unused=True))  # type: ignore[arg-type]
    except RuntimeError:
        return dict.fromkeys(leaves)
    found: dict[str, Tensor | None] = {}
    for name, group in leaves.items():
        parts = [next(grads) for _ in group]
        if all(part is None for part in parts):
            found[name] = None
        else:
            flat = [
                torch.zeros(leaf.numel()) if part is None else part.flatten()
                for part, leaf in zip(parts, group, strict=True)
            ]
            found[name] = torch.cat([part.double() for part in flat])
    return found


@dataclass(frozen=True)
class Built(Kind):
    """Something built by hand that must do a job; many answers are right.

    ``make`` reads it (raising ``NotThisKind``), ``fault`` returns a sentence on what it does wrong,
    or nothing. A mistake of such an exercise is recognized by its ``when``.
    """

    make: Callable[[Any], Any]
    fault: Callable[[Any], str]
    how_exact: str = ""
    is_function = False

    @property
    def precision(self) -> str:
        """What it must reach, in words."""
        return self.how_exact

    def read(self, answer: Any) -> Any:
        """What is to be tried."""
        return self.make(answer)

    def same(self, reading: Any, right: Any) -> bool:
        """Whether it does the job."""
        return not self.fault(reading)

    def tell(self, reading: Any, right: Any) -> str:
        """What it does wrong."""
        return self.fault(reading)
