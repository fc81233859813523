"""What a check does: find the exercise, read the answer, compare it, say what can be said."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .calling import is_empty, untouched
from .kinds import Kind
from .values import NotThisKind, called

WIDTH = 84
STRICT, LOG = "GRU_CHECKS", "GRU_CHECKS_LOG"
NOTEBOOKS = tuple(sorted(path.stem[-2:] for path in Path(__file__).parent.glob("notebook_*.py")))


@dataclass(frozen=True)
class Mistake:
    """A usual mistake: its name, a wrong answer or a function that makes one, and a hint.

    ``see`` names the section of the lesson to look at, if it is not that of the exercise
    ("05: Gate order" names one of another notebook). ``when`` recognizes the mistake in a reading
    where no single wrong answer stands for all.
    """

    name: str
    wrong: Any
    hint: str
    see: str = ""
    when: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Exercise:
    """What is asked, what is right, what that shows, and which mistakes are known.

    ``right`` is the answer, or a function that computes it (for an exercise whose answer is a
    function, that function itself). ``see`` names the section of the lesson that it is about.
    """

    number: str
    asks: str
    kind: Kind
    right: Any
    shows: str
    see: str
    mistakes: tuple[Mistake, ...]

    def reading(self, answer: Any) -> Any:
        """The reading of an answer of the catalog."""
        is_recipe = callable(answer) and not self.kind.is_function
        return self.kind.read(answer() if is_recipe else answer)


@dataclass(frozen=True)
class Verdict:
    """What a check found: ``passed`` is None where there is no answer yet.

    ``mistake`` is the name of a known mistake, or None; ``message`` is what the student is told.
    """

    exercise: str
    passed: bool | None
    mistake: str | None
    message: str

    def __repr__(self) -> str:
        """The message alone."""
        return self.message

    def _ipython_display_(self) -> None:
        """Nothing more: ``check`` has printed the message."""


solved: dict[str, Verdict] = {}  # the last verdict of each exercise in this session


def exercises_of(notebook: str) -> tuple[Exercise, ...]:
    """The exercises of a notebook that have a check, in their order."""
    module = importlib.import_module(f"{__package__}.notebook_{notebook}")
    return tuple(module.EXERCISES)


def all_exercises() -> list[Exercise]:
    """The exercises of all notebooks that have a check."""
    return [exercise for notebook in NOTEBOOKS for exercise in exercises_of(notebook)]


def find(number: object) -> Exercise:
    """The exercise with this number, such as "01.2"; one sentence if there is none."""
    wanted = re.sub(r"\s+", "", number).lower() if isinstance(number, str) else ""
    wanted = f"0{wanted}" if re.match(r"\d\.", wanted) else wanted
    notebook = wanted.partition(".")[0]
    if notebook not in NOTEBOOKS:
        raise ValueError(
            f"There is no exercise {number!r}: name a notebook and an exercise, such as '01.2'."
        )
    known = {exercise.number: exercise for exercise in exercises_of(notebook)}
    if wanted not in known:
        parts = [name for name in known if name.rstrip("abcdefgh") == wanted]
        if parts:
            raise ValueError(f"Exercise {number} is checked in parts: {', '.join(parts)}.")
        raise ValueError(
            f"Exercise {number!r} has no check; notebook {notebook} has {', '.join(known)}."
        )
    return known[wanted]


def expected(exercise: Exercise) -> str:
    """What to hand in, as a phrase."""
    precision = exercise.kind.precision
    return exercise.asks + (f" ({precision})" if precision else "")


def expects(exercise: str) -> str:
    """Say in one sentence what to hand in for an exercise, and print it.

    Raises ValueError if there is no such exercise.
    """
    sentence = f"{exercise} expects {expected(find(exercise))}."
    tell(sentence)
    return Told(sentence)


class Told(str):
    """A sentence that has been printed and need not be displayed again."""

    __slots__ = ()

    def _ipython_display_(self) -> None:
        """Nothing more."""


def looked_up(section: str, exercise: Exercise) -> str:
    """A sentence that sends to a section of a lesson."""
    notebook, colon, title = section.partition(": ")
    if colon and notebook in NOTEBOOKS and notebook != exercise.number[:2]:
        return f"Look again at “{title}” in notebook {notebook}."
    return f"Look again at “{title if colon and notebook in NOTEBOOKS else section}”."


def is_mistake(exercise: Exercise, mistake: Mistake, reading: Any) -> bool:
    """Whether a reading is that of a mistake; one that its ``when`` cannot be asked of is not."""
    if mistake.when is None:
        return exercise.kind.same(reading, exercise.reading(mistake.wrong))
    try:
        return bool(mistake.when(reading))
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError):
        return False


def judged(exercise: Exercise, answer: Any) -> Verdict:
    """The verdict on an answer; nothing of it is printed or noted here."""
    number, kind = exercise.number, exercise.kind

    def verdict(passed: bool | None, words: str, mistake: str | None = None) -> Verdict:
        return Verdict(number, passed, mistake, f"{number}: {words}")

    if answer is None or answer is Ellipsis or is_empty(answer):
        return verdict(None, f"no answer yet. It expects {expected(exercise)}.")
    try:
        reading = kind.read(answer)
    except NotThisKind as error:
        words = f"not the kind of answer that is asked for. {error}"
        return verdict(False, f"{words} It expects {expected(exercise)}.")
    right = exercise.reading(exercise.right)
    if kind.same(reading, right):
        return verdict(True, f"right. {exercise.shows}")
    for mistake in exercise.mistakes:
        if is_mistake(exercise, mistake, reading):
            hint = f"{mistake.hint} {looked_up(mistake.see or exercise.see, exercise)}"
            return verdict(False, f"not right, and a known mistake. {hint}", mistake.name)
    said = f"{kind.tell(reading, right)} {looked_up(exercise.see, exercise)}"
    return verdict(False, f"not right. {said}")


def check(exercise: str, answer: Any = ...) -> Verdict:
    """Check an answer on the spot, print what is found, and return it.

    The answer is only read: a function is called on copies, and the random generators stay as they
    were. With the environment variable GRU_CHECKS=strict a check that is not right raises
    AssertionError with the same message.

    Raises ValueError if there is no such exercise.
    """
    known = find(exercise)
    with untouched():
        try:
            verdict = judged(known, answer)
        except Exception as error:
            what = called(answer) if not callable(answer) else "a function"
            verdict = Verdict(
                known.number,
                False,
                None,
                f"{known.number}: not the kind of answer that is asked for. It is {what} that "
                f"cannot be read ({type(error).__name__}). It expects {expected(known)}.",
            )
    solved[known.number] = verdict
    note(verdict)
    if os.environ.get(STRICT, "").strip().lower() == "strict" and not verdict.passed:
        raise AssertionError(verdict.message)
    tell(verdict.message)
    return verdict


def tell(sentence: str) -> None:
    """Print a message in lines that fit on a page."""
    lines = textwrap.wrap(
        sentence,
        WIDTH,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    print("\n".join(lines))


def note(verdict: Verdict) -> None:
    """Add a verdict to the file that GRU_CHECKS_LOG names, where a class is being marked."""
    path = os.environ.get(LOG)
    if path:
        line = {
            "exercise": verdict.exercise,
            "passed": verdict.passed,
            "mistake": verdict.mistake,
        }
        with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def progress() -> str:
    """Print what has been solved since the kernel started, notebook by notebook."""
    lines = []
    for notebook in sorted({number[:2] for number in solved}):
        exercises = exercises_of(notebook)
        right = sum(bool(solved[e.number].passed) for e in exercises if e.number in solved)
        lines.append(f"Notebook {notebook}: {right} of {len(exercises)} right.")
        for exercise in exercises:
            lines.append(f"  {exercise.number:6} {state_of(solved.get(exercise.number))}")
    text = "\n".join(lines) or "Nothing has been checked since the kernel started."
    print(text)
    return Told(text)


def state_of(verdict: Verdict | None) -> str:
    """A word or two on a verdict, for a table."""
    if verdict is None:
        return "not checked"
    if verdict.passed is None:
        return "no answer yet"
    if verdict.passed:
        return "right"
    return f"not right ({verdict.mistake})" if verdict.mistake else "not right"
