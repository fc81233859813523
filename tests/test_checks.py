"""The checks: right answers in any clothes, known mistakes, and whatever else comes."""

import contextlib
import importlib
import itertools
import json
import math
import random
import re

import notebook_rules as rules
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gru_helpers import checks
from gru_helpers.checks import calling, check, core, expects, kinds, progress
from gru_helpers.checks.core import Exercise, Mistake, judged
from gru_helpers.checks.kinds import (
    Between,
    Built,
    Choice,
    Function,
    Names,
    Numbers,
    Shapes,
    TensorOf,
)

EXERCISES = core.all_exercises()
BY_NUMBER = {exercise.number: exercise for exercise in EXERCISES}
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]
LESSONS = {path.name[:2]: path for path in rules.LESSONS}
each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.number)
each_mistake = pytest.mark.parametrize(
    ("exercise", "mistake"), MISTAKES, ids=[f"{e.number} {m.name}" for e, m in MISTAKES]
)


@pytest.fixture(autouse=True)
def new_session(monkeypatch):
    """No check has been made, none is strict, and a busy machine has all the time it needs."""
    monkeypatch.setattr(kinds, "LIMIT_SECONDS", 60)
    monkeypatch.setattr(core, "solved", {})
    monkeypatch.delenv(core.STRICT, raising=False)
    monkeypatch.delenv(core.LOG, raising=False)


def answer_of(exercise, given):
    """An answer of the catalog as a student would hand it in."""
    return given() if callable(given) and not exercise.kind.is_function else given


def printed(capsys):
    """What was printed, in one line, if every line of it fits on a page."""
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= core.WIDTH
    return " ".join(line.strip() for line in lines)


def recognized(exercise, reading):
    """The names of all the mistakes that this reading is taken for."""
    return [
        mistake.name
        for mistake in exercise.mistakes
        if (
            mistake.when(reading)
            if mistake.when
            else exercise.kind.same(reading, exercise.reading(mistake.wrong))
        )
    ]


# --- the catalog --------------------------------------------------------------------------------


@each_exercise
def test_the_right_answer_is_right_and_no_mistake(exercise):
    verdict = judged(exercise, answer_of(exercise, exercise.right))
    assert verdict.passed is True, verdict
    assert verdict.mistake is None
    assert verdict.message == f"{exercise.number}: right. {exercise.shows}"
    assert recognized(exercise, exercise.reading(exercise.right)) == []


@pytest.mark.parametrize(
    "exercise", [e for e in EXERCISES if isinstance(e.kind, Function)], ids=lambda e: e.number
)
def test_the_right_function_has_no_trouble(exercise):
    """Otherwise an answer with the same trouble would be as good."""
    assert not [o.trouble for o in exercise.kind.read(exercise.right) if o.trouble]


@each_mistake
def test_a_mistake_is_recognized_as_itself_and_as_nothing_else(exercise, mistake):
    wrong = answer_of(exercise, mistake.wrong)
    verdict = judged(exercise, wrong)
    assert verdict.passed is False
    assert verdict.mistake == mistake.name, verdict
    assert recognized(exercise, exercise.kind.read(wrong)) == [mistake.name]
    assert mistake.hint in verdict.message


@each_exercise
def test_an_exercise_knows_several_mistakes_under_different_names(exercise):
    names = [mistake.name for mistake in exercise.mistakes]
    assert len(set(names)) == len(names) >= (1 if isinstance(exercise.kind, Choice) else 3)
    assert all(re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", name) for name in names)


@each_exercise
def test_what_is_said_is_a_sentence_and_no_answer(exercise):
    said = [m.hint for m in exercise.mistakes]
    for sentence in [*said, exercise.shows]:
        assert re.match(r"[A-Z`]|[zrxh]\b", sentence)
        assert sentence[-1] in ".?)", sentence
    assert not exercise.asks.endswith(".")
    if isinstance(exercise.kind, Numbers):
        for value in exercise.reading(exercise.right).tolist():
            if value != round(value, 1):  # a number that says more than a guess
                shown = {f"{value:.{digits}f}" for digits in (2, 3, 4)} | {f"{value:.3g}"}
                assert not [word for word in shown for text in said if word in text]


@each_exercise
def test_the_sections_to_look_at_exist(exercise):
    for section in {exercise.see, *(m.see for m in exercise.mistakes if m.see)}:
        notebook, colon, title = section.partition(": ")
        if not (colon and notebook in LESSONS):
            notebook, title = exercise.number[:2], section
        headings = re.findall(r"^##+ +(.*?)\s*$", rules.Notebook(LESSONS[notebook]).markdown, re.M)
        assert title in headings


def test_no_two_exercises_share_a_number_and_all_are_in_order():
    numbers = [exercise.number for exercise in EXERCISES]
    assert len(set(numbers)) == len(numbers)
    for notebook in core.NOTEBOOKS:
        own = [e.number for e in core.exercises_of(notebook)]
        asked = {number for number, _ in rules.Notebook(LESSONS[notebook]).exercises()}
        places = [re.fullmatch(rf"{notebook}\.(\d+)([a-h]?)", number) for number in own]
        assert all(places)
        assert sorted(own, key=lambda n: (int(re.search(r"\.(\d+)", n)[1]), n)) == own
        assert {int(place[1]) for place in places} <= asked


# --- right answers in other clothes, and wrong ones ---------------------------------------------


def disguises(exercise, right):
    """A right answer as other students would write it."""
    kind = exercise.kind
    if isinstance(kind, Function):
        yield lambda *args: right(*args)
        yield lambda *args, more=None, **options: right(*args)
    elif isinstance(kind, (Numbers, Between)):
        numbers = [float(v) for v in np.atleast_1d(np.asarray(kind.read(right)))]
        vector = torch.tensor(numbers)
        yield from (numbers, tuple(numbers), np.array(numbers), vector.double(), [numbers])
        yield from (np.float64(numbers[0]), torch.tensor(numbers[0])) if len(numbers) == 1 else ()
        yield list(vector.double().requires_grad_(True))
    elif isinstance(kind, TensorOf):
        found = kind.read(right)
        yield from (found, tuple(found), [part.numpy() for part in found])
        yield from (found[0], found[0][None]) if len(found) == 1 else ()
        yield [part.double().requires_grad_(True) for part in found]
    elif isinstance(kind, Choice):
        yield from (right.upper(), f" {right} ", f"'{right}'")
    elif isinstance(kind, Names):
        yield from (list(right), tuple(right), ", ".join(right), [name.upper() for name in right])
        if not kind.ordered:
            yield from (set(right), list(right)[::-1], dict.fromkeys(right))


@each_exercise
def test_right_answers_in_other_clothes_are_right(exercise):
    right = answer_of(exercise, exercise.right)
    module = importlib.import_module(f"unusual_answers.notebook_{exercise.number[:2]}")
    unusual = module.UNUSUAL[exercise.number]
    assert unusual
    for number, answer in enumerate([*disguises(exercise, right), *unusual]):
        verdict = judged(exercise, answer)
        assert verdict.passed, (number, answer, verdict)


ANYTHING = st.recursive(
    st.one_of(
        st.floats(),
        st.integers(),
        st.text(max_size=8),
        st.booleans(),
        st.binary(max_size=4),
        st.complex_numbers(),
        st.sampled_from(
            [len, object(), torch.zeros(0), torch.ones(2, 3), np.array("a"), type, ...]
        ),
    ),
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)
few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


@each_exercise
@few
@given(answer=ANYTHING)
def test_random_answers_are_never_right_by_accident(exercise, answer):
    """They get a verdict, whatever they are; a right one says the same as the right answer."""
    verdict = check(exercise.number, answer)
    assert verdict.message
    if isinstance(exercise.kind, (Choice, Names, Between, Built)) and verdict.passed:
        assert isinstance(answer, (str, bool, int, float, list, dict))  # a guess hits now and then
    elif isinstance(exercise.kind, Numbers) and verdict.passed:
        flat = np.ravel(np.array(list(answer.values()) if isinstance(answer, dict) else answer))
        assert np.allclose(flat.astype(float), exercise.reading(exercise.right), atol=0.5)
    else:
        assert not verdict.passed


functions = [exercise for exercise in EXERCISES if isinstance(exercise.kind, Function)]


@pytest.mark.parametrize("exercise", functions, ids=lambda e: e.number)
@settings(few, max_examples=4)
@given(value=ANYTHING, noise=st.floats(0.1, 10), seed=st.integers(0, 99))
def test_random_functions_are_never_right(exercise, value, noise, seed):
    def constant(*args):
        return value

    def noisy(*args):
        parts = kinds.tensors_in(exercise.right(*args))
        torch.manual_seed(seed)
        return [part.double() + noise * (0.5 + torch.rand(part.shape)) for part in parts]

    assert not judged(exercise, constant).passed
    assert not judged(exercise, noisy).passed


def test_an_answer_to_one_exercise_does_not_pass_for_that_of_another():
    """Functions of equal arguments and names of equal choices are handed to the wrong check."""
    for exercise in EXERCISES:
        for other in EXERCISES:
            if other is exercise or type(other.kind) is not type(exercise.kind):
                continue
            if isinstance(exercise.kind, Function):
                mine, theirs = exercise.kind.cases()[0], other.kind.cases()[0]
                if list(mine.arguments) != list(theirs.arguments):
                    continue
            for mistake in exercise.mistakes[:3]:
                verdict = judged(other, answer_of(exercise, mistake.wrong))
                reading = None if not verdict.passed else other.reading(other.right)
                same = verdict.passed and other.kind.same(
                    other.kind.read(answer_of(exercise, mistake.wrong)), reading
                )
                assert verdict.passed in (False, None) or same


# --- whatever a student's function does ---------------------------------------------------------


def step_exercise():
    return BY_NUMBER["01.1a"]


def test_no_answer_yet():
    def empty(X, H, params): ...

    def with_docstring(X, H, params):
        """One step."""

    def with_pass(X, H, params):
        pass

    for answer in (..., None, empty, with_docstring, with_pass):
        verdict = check("01.1a", answer)
        assert verdict.passed is None
        assert verdict.message.startswith("01.1a: no answer yet. It expects a function of X, H")
    assert check("01.2").passed is None


def test_a_function_that_raises_is_told_with_its_line(capsys):
    def broken(X, H, params):
        first, second = params
        return first, second

    verdict = check("01.1a", broken)
    assert not verdict.passed
    assert "raises ValueError: too many values to unpack" in verdict.message
    assert "`first, second = params`" in verdict.message
    assert printed(capsys) == verdict.message


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda X, H: H, "cannot be called with 3 arguments (X, H, params): it is (X, H)"),
        (lambda X, H, params: print(H), "prints its result, but returns None"),
        (lambda X, H, params: H.sum() and None, "returns None"),
        (lambda X, H, params: "H", "returns a str"),
        (lambda X, H, params: exec("import sys; sys.exit(3)"), "raises SystemExit: 3"),
        (lambda X, H, params: [1.0] * 1_000_000, "holds 1 tensor, expected 4: Z, R, H_tilde"),
        (lambda X, H, params: H + H.T.sum() / 0 * torch.nan, "holds 1 tensor, expected 4"),
    ],
)
def test_whatever_a_function_does_it_gets_one_sentence(function, words, capsys):
    verdict = check("01.1a", function)
    assert verdict.passed is False
    assert words in verdict.message
    assert "\n" not in verdict.message
    assert printed(capsys) == verdict.message


def test_a_function_without_end_is_stopped(monkeypatch):
    """Also one that catches every Exception."""
    monkeypatch.setattr(kinds, "LIMIT_SECONDS", 0.05)

    def endless(X, H, params):
        while True:
            with contextlib.suppress(Exception):
                math.sqrt(-1)

    assert "was stopped after" in check("01.1a", endless).message


def test_a_function_that_writes_into_its_argument_is_told():
    def in_place(X, H, params):
        result = checks.notebook_01.gru_step(X, H, params)
        H += 1
        return result

    verdict = check("01.1a", in_place)
    assert not verdict.passed
    assert "writes into its argument H" in verdict.message


def test_a_function_may_write_into_its_argument_where_that_is_allowed():
    exercise = numbered(Function(cases, may_write=True), lambda x: x + 1)
    assert judged(exercise, lambda x: x.add_(1)).passed
    assert not judged(numbered(Function(cases), lambda x: x + 1), lambda x: x.add_(1)).passed


def test_an_interrupt_by_the_user_goes_through():
    def interrupted(X, H, params):
        raise KeyboardInterrupt

    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        check("01.1a", interrupted)
    assert torch.equal(torch.get_rng_state(), state)


def test_objects_generators_and_settings_stay_as_they_were():
    def careless(X, H, params):
        torch.manual_seed(7), random.seed(7), np.random.seed(7)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return torch.randn(3)

    params = [torch.randn(2, 2, requires_grad=True) for _ in range(9)]
    before = [p.detach().clone() for p in params]
    for seed in (torch.manual_seed, random.seed, np.random.seed):
        seed(3)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    check("01.1a", careless)
    check("01.8", params)
    check("01.2", params[0])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    for param, old in zip(params, before, strict=True):
        assert torch.equal(param, old)
        assert param.grad is None
        assert param.requires_grad


class Hostile:
    """Raises at everything that a reader might try."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __iter__(self):
        raise RuntimeError("iter")

    def __len__(self):
        raise RuntimeError("len")

    def __eq__(self, other):
        raise RuntimeError("eq")

    __hash__ = None


def endless_numbers():
    while True:
        yield 1.0


@each_exercise
def test_hostile_answers_get_a_verdict(exercise, monkeypatch):
    nested = []
    nested.append(nested)
    for answer in (Hostile(), nested, [Hostile()], b"bytes", 10**400, float("inf"), {1: {2: 9e99}}):
        verdict = check(exercise.number, answer)
        assert verdict.passed is False
        assert verdict.message


def test_names_without_end_are_not_waited_for():
    assert "an int is none of the names" in check("01.3b", itertools.count()).message
    assert not check("01.3b", itertools.repeat("W_xz")).passed


def test_names_are_no_dict_of_all_of_them_and_two_options_are_not_told_apart():
    names = Names(("a", "b", "c"))
    assert names.read({"a": True, "b": False, "c": True}) == ("a", "c")
    assert names.read({"a": 0.9, "c": 0.5}) == ("a", "c")
    assert names.read(dict.fromkeys("abc", 0.0)) == ("a", "b", "c")
    with pytest.raises(kinds.NotThisKind, match="only the names that belong"):
        names.read({"a": 0.9, "b": 0.1, "c": 0.5})
    two = Names(("a", "b"), ordered=True)
    assert two.tell(("a", "b", "b"), ("a", "b", "a")) == "Not all of them are right."


def test_numbers_without_end_are_not_waited_for(monkeypatch):
    monkeypatch.setattr("gru_helpers.checks.values.LARGEST", 1000)
    assert "more than 1,000 numbers" in check("01.2", endless_numbers()).message


def test_a_million_things_are_read_at_once_or_not_at_all():
    numbers = list(np.ones(1_000_000))
    assert "It holds 1,000,000 numbers, not 4" in check("01.2", numbers).message
    assert (
        "a list of 1000000, and not of numbers" in check("01.2", [torch.ones(())] * 10**6).message
    )


# --- functions: graph and gradient --------------------------------------------------------------


def numbered(kind, right, *mistakes):
    return Exercise("01.1a", "a function", kind, right, "So.", "Summary", tuple(mistakes))


def cases():
    return [kinds.Case({"x": torch.tensor([1.0, 2.0], dtype=torch.float64)}, "two numbers")]


def test_a_missing_detach_is_seen():
    kind = Function(lambda: [kinds.Case({"x": torch.ones(2, requires_grad=True)})], graph=True)
    exercise = numbered(kind, lambda x: (x * 2).detach())
    verdict = judged(exercise, lambda x: x * 2)
    assert not verdict.passed
    assert "still connected to what they were computed from" in verdict.message
    assert judged(exercise, lambda x: x.detach() * 2).passed


def test_a_gradient_that_does_not_arrive_or_is_wrong_is_seen():
    exercise = numbered(Function(cases, gradient=("x",)), lambda x: x**2)
    assert judged(exercise, lambda x: x * x).passed
    cut = judged(exercise, lambda x: x.detach() ** 2)
    assert "the gradient with respect to x is missing" in cut.message
    half = judged(exercise, lambda x: x.detach() * x)
    assert "the gradient with respect to x is not right" in half.message


def test_gradients_may_be_those_of_the_first_result_alone():
    kind = Function(cases, gradient=("x",), gradient_of_first=True)
    exercise = numbered(kind, lambda x: (x**2, x + 1))
    assert judged(exercise, lambda x: [x**2, x.detach() + 1]).passed
    cut = judged(exercise, lambda x: (x.detach() ** 2, x + 1))
    assert "the gradient with respect to x is missing" in cut.message


def test_a_function_that_wants_float32_is_tried_in_float32():
    exercise = numbered(Function(cases), lambda x: x @ torch.ones(2, dtype=x.dtype))
    assert judged(exercise, lambda x: x @ torch.ones(2)).passed


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (v * v for v in x),
        lambda x: map(torch.square, x),
        lambda x: iter([x[0] ** 2, x[1] ** 2]),
        lambda x: {"a": x[0] ** 2, "b": x[1] ** 2}.values(),
    ],
)
def test_a_result_may_come_one_by_one(function):
    """With its place in the graph and its gradients, which are read one after the other."""
    kind = Function(cases, graph=True, gradient=("x",))
    assert judged(numbered(kind, lambda x: [x[0] ** 2, x[1] ** 2]), function).passed


def test_a_generator_that_fails_or_never_ends_is_told(monkeypatch):
    monkeypatch.setattr(calling, "MOST", 1000)
    exercise = numbered(Function(cases), lambda x: [x[0], x[1]])
    failing = judged(exercise, lambda x: (v / 0 for v in (1, 2)))
    assert "raises ZeroDivisionError" in failing.message
    endless = judged(exercise, lambda x: endless_numbers())
    assert "the shape of it is (1000,), expected (2,)" in endless.message


def test_a_wrong_result_is_told_by_shape_and_then_by_place():
    exercise = numbered(Function(cases), lambda x: torch.outer(x, x))
    message = judged(exercise, lambda x: x).message
    assert "the shape of it is (2,), expected (2, 2)" in message
    message = judged(
        exercise, lambda x: torch.outer(x, x) + torch.tensor([[0, 0], [0, 0.25]])
    ).message
    assert "off by at most 0.25 (1 of 4 numbers differ, the first at index (1, 1))" in message


def test_a_function_that_fails_on_the_second_case_only_is_told_so():
    def two_cases():
        return [kinds.Case({"x": torch.ones(size)}, f"{size} numbers") for size in (1, 3)]

    exercise = numbered(Function(two_cases, results=("dX", "dY")), lambda x: (x, 2 * x))
    message = judged(exercise, lambda x: (x, 2 * x.clamp(max=x.numel() % 3))).message
    assert "It is right on 1 numbers. On 3 numbers: dY is off by at most 2" in message


def test_the_numbers_of_a_vector_are_told_by_their_names():
    exercise = numbered(Function(cases, results=("one", "two")), lambda x: [1.0, float(x[1])])
    assert "1 of 2 numbers differ, the first at two" in judged(exercise, lambda x: [1, 3]).message
    kind = TensorOf(names=("one", "two"))
    pair = kind.read([[1.0, 2.0, 3.0], [4.0, 5.0]])
    assert "two is off by at most 1 (1 of 2 numbers differ, the first at index (1,))" in kind.tell(
        kind.read([[1.0, 2.0, 3.0], [4.0, 6.0]]), pair
    )


# --- numbers, names, choices --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([0.2453, 0.6369, -0.2769, math.nan], "h_new: it is nan"),
        ([0.2453, 0.6369, -0.2769, 0.0711], "h_new: it has the wrong sign"),
        ([0.2453, 0.6369, -0.2769, -0.08], "h_new: it is too small."),
        ([2.5, 0.6369, -0.2769, -0.08], "z: it is too large, by more than a factor of ten"),
        ([0.2453, 0.6369, -0.2569, -0.08], "h_tilde: it is too large, by less than a tenth"),
        ([1, 2, 3], "It holds 3 numbers, not 4: z, r, h_tilde, h_new"),
        ("0.3", "It holds a str"),
    ],
)
def test_wrong_numbers_are_told_without_the_answer(answer, words):
    message = judged(BY_NUMBER["01.2"], answer).message
    assert words in message
    assert "0.0711" not in message


def test_a_tolerance_is_told_in_words():
    assert kinds.tolerance(1.0, 0) == "to within 1"
    assert kinds.tolerance(0.02, 0.005) == "to within 0.02 plus 0.5 %"
    assert kinds.tolerance(0, 0) == "exactly"


def test_wrong_names_are_counted():
    message = judged(BY_NUMBER["01.3c"], ["W_xz", "b_r"]).message
    assert "1 of your 2 names does not belong; 5 are missing." in message
    assert "'W_x' is none of the names" in judged(BY_NUMBER["01.3c"], ["W_x"]).message


def test_names_in_order():
    assert Names(("r", "z"), ordered=True).tell(("z", "r"), ("r", "z")) == "It is another order."
    kind = Names(("r", "z", "n"), ordered=True)
    assert kind.same(kind.read("r z n"), ("r", "z", "n"))
    assert kind.tell(kind.read("z r n"), ("r", "z", "n")) == (
        "The first place that is not right is number 1."
    )
    assert kind.tell(("r", "z", "n", "r"), ("r", "z", "n")) == (
        "There are 4 names, and some stand there twice."
    )
    assert kind.tell(("r", "z"), ("r", "z") * 2) == "There are 2 names, where 4 are asked for."


def test_shapes_may_come_as_tuples_or_as_the_things_themselves():
    kind = Shapes(("a", "b"))
    right = ((2, 3), (4,))
    for answer in (
        [(2, 3), (4,)],
        ([2, 3], 4),
        [torch.Size((2, 3)), np.zeros(4)],
        {"b": torch.zeros(4), "a": (2, 3)},
        {"first": (2, 3), "second": (4,)},
    ):
        assert kind.read(answer) == right
    for answer in ([(2, 3)], [(2.0, 3), 4], ["(2, 3)", 4], 5):
        with pytest.raises(core.NotThisKind):
            kind.read(answer)
    assert kind.tell(((3, 2), (4,)), right) == (
        "The first shape that is not right is that of a: the sizes are the right ones, in another "
        "order."
    )
    assert kind.tell(((2, 3), (4, 1)), right).endswith("of b: it has another number of axes.")
    assert kind.tell(((2, 3), (5,)), right).endswith("is that of b.")


def test_a_choice_may_be_a_truth_value():
    kind = Choice(("yes", "no"))
    assert kind.read(True) == "yes"
    assert kind.read(" No.") == "no"
    with pytest.raises(core.NotThisKind, match="'maybe', and none of the words"):
        kind.read("maybe")


def test_a_number_of_an_experiment_may_lie_in_an_interval():
    exercise = numbered(Between(2, 3), 2.5, Mistake("log_2", 3.6, "Natural logarithm."))
    assert [judged(exercise, value).passed for value in (1.9, 2.0, 3.0, 3.1)] == [
        *(False, True, True, False)
    ]
    assert judged(exercise, 3.61).mistake == "log_2"
    assert "too large" in judged(exercise, 3.2).message


def test_a_mistake_that_cannot_be_asked_of_a_reading_is_not_made():
    exercise = numbered(
        Function(cases), lambda x: x, Mistake("one", 0, "One.", when=lambda r: r[0].numbers[1] > 0)
    )
    assert "expected (2,)" in judged(exercise, lambda x: x[0]).message


@pytest.mark.parametrize("answer", [True, np.bool_(True), torch.tensor(False)])
def test_a_truth_value_is_no_number_of_an_experiment(answer):
    verdict = judged(numbered(Between(0, 2), 1), answer)
    assert verdict.passed is False
    assert "where a number is expected" in verdict.message


def test_a_function_that_goes_backward_itself_is_known():
    kind = Function(cases, gradient=("x",))

    def gone(x):
        loss = (x**2).sum()
        loss.backward()
        return loss

    assert [outcome.went_back for outcome in kind.read(gone)] == [True]
    assert [outcome.went_back for outcome in kind.read(lambda x: (x**2).sum())] == [False]


def test_something_built_is_tried():
    exercise = numbered(
        Built(lambda answer: float(kinds.number().read(answer)), lambda x: "" if x > 2 else "Low."),
        3,
        Mistake("negative", -3, "Sign.", when=lambda x: x < 0),
    )
    assert judged(exercise, 5).passed
    assert judged(exercise, -1).mistake == "negative"
    assert judged(exercise, 1).message == "01.1a: not right. Low. Look again at “Summary”."


# --- what is said of the exercises themselves ---------------------------------------------------


def test_expects_says_in_one_sentence_what_to_hand_in(capsys):
    sentence = expects("01.2")
    assert sentence == (
        "01.2 expects the four numbers of the second step: z, r, h_tilde, h_new (to within 0.003)."
    )
    assert printed(capsys) == sentence


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("01.3", "checked in parts: 01.3a, 01.3b, 01.3c"),
        ("01.99", "'01.99' has no check; notebook 01 has 01.1a, 01.1b, 01.2"),
        ("xx", "name a notebook and an exercise, such as '01.2'"),
        (1.2, "name a notebook and an exercise"),
    ],
)
def test_an_exercise_that_does_not_exist_is_refused_in_one_sentence(number, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        check(number, 0)
    with pytest.raises(ValueError, match=re.escape(words)):
        expects(number)


def test_a_number_may_be_written_without_its_zero():
    assert check(" 1.3A ", 0.3).exercise == "01.3a"


def test_progress_shows_the_last_verdict_of_each(capsys):
    assert progress() == "Nothing has been checked since the kernel started."
    check("01.3a", 0.3)
    check("01.4", (-2, 0.326))
    check("01.4", (-2, 0.326))
    check("01.6", ...)
    lines = progress().splitlines()
    assert lines[0] == f"Notebook 01: 1 of {len(core.exercises_of('01'))} right."
    assert "  01.3a  right" in lines
    assert "  01.4   not right (sign_copied)" in lines
    assert "  01.6   no answer yet" in lines
    assert "  01.5   not checked" in lines


def test_strict_checks_raise_the_same_message(monkeypatch):
    message = check("01.3a", 0.4).message
    monkeypatch.setenv("GRU_CHECKS", "strict")
    with pytest.raises(AssertionError, match=re.escape(message)):
        check("01.3a", 0.4)
    with pytest.raises(AssertionError, match="no answer yet"):
        check("01.3a", ...)
    assert check("01.3a", 0.3).passed


def test_verdicts_are_noted_where_a_class_is_marked(monkeypatch, tmp_path):
    log = tmp_path / "log"
    monkeypatch.setenv(core.LOG, str(log))
    check("01.3a", 0.3), check("01.4", ...)
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [(line["exercise"], line["passed"]) for line in lines] == [
        ("01.3a", True),
        ("01.4", None),
    ]
    monkeypatch.setenv(core.LOG, str(tmp_path / "no" / "folder"))
    assert check("01.3a", 0.3).passed


def test_a_verdict_is_shown_once_and_reads_as_its_message():
    verdict = check("01.3a", 0.3)
    assert repr(verdict) == verdict.message
    assert verdict._ipython_display_() is None
    assert progress()._ipython_display_() is None


# --- the notebooks ------------------------------------------------------------------------------


def checked_in(path):
    """The numbers in the calls of ``check`` in a notebook, in order."""
    return [
        number
        for cell in rules.Notebook(path).code
        for number in re.findall(r'^check\("(\d\d\.\d+[a-h]?)"', rules.source(cell), re.M)
    ]


def printed_by(path):
    """What a notebook's cells have printed, joined."""
    outputs = rules.Notebook(path).outputs
    return "".join(rules.joined(out["text"]) for _, out in outputs if "text" in out)


@pytest.mark.parametrize("notebook", core.NOTEBOOKS)
def test_a_lesson_has_an_empty_answer_for_each_check(notebook):
    numbers = [exercise.number for exercise in core.exercises_of(notebook)]
    assert checked_in(LESSONS[notebook]) == numbers
    printed = printed_by(LESSONS[notebook])
    assert re.findall(r"^(\d\d\.\d+[a-h]?): no answer yet", printed, re.M) == numbers


@pytest.mark.parametrize("notebook", core.NOTEBOOKS)
def test_the_solutions_hand_in_every_answer_and_are_right(notebook):
    numbers = [exercise.number for exercise in core.exercises_of(notebook)]
    path = LESSONS[notebook].parent / "solutions" / f"{LESSONS[notebook].stem}_solutions.ipynb"
    assert checked_in(path) == numbers
    assert re.findall(r"^(\d\d\.\d+[a-h]?): right", printed_by(path), re.M) == numbers


@pytest.mark.parametrize("notebook", core.NOTEBOOKS)
def test_an_answer_stands_under_its_exercise(notebook):
    last = None
    for cell in rules.Notebook(LESSONS[notebook]).cells:
        asked = re.match(r"(\d+)\. ", rules.source(cell))
        last = int(asked[1]) if asked and cell["cell_type"] == "markdown" else last
        for number in re.findall(r'^check\("\d\d\.(\d+)', rules.source(cell), re.M):
            assert int(number) == last


def test_the_time_limit_is_below_two_seconds():
    assert calling.LIMIT_SECONDS < 2
