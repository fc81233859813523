"""Calling a student's function: on copies, in silence, for a limited time, whatever it does."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import dis
import inspect
import io
import itertools
import linecache
import random
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, ValuesView
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

LIMIT_SECONDS = 1.5
MOST = 100_000  # things that a generator is asked for
HERE = str(Path(__file__).parent)
EMPTY = {"RESUME", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "NOP", "POP_TOP"}


class OutOfTime(BaseException):
    """Raised inside a function that runs for too long; no ``except Exception`` stops it."""


@dataclass
class Call:
    """What one call of a function came to.

    ``trouble`` is a sentence without its subject ("raises …"), or empty; ``stopped`` says that the
    time was over; ``changed`` names the arguments into which the function has written.
    """

    value: Any = None
    trouble: str = ""
    stopped: bool = False
    printed: str = ""
    changed: list[str] = field(default_factory=list)


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Leave the random generators, PyTorch's settings and the warnings as they were."""
    threads, dtype, grad = (
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(grad)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise ``OutOfTime`` in this thread if the block is not done in time.

    In the main thread of Linux and macOS an alarm does it, which also ends a sleep; elsewhere it
    strikes between two steps of Python. A single computation outside Python is waited for.
    """
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        with alarmed(seconds):
            yield
        return
    thread, lock, done = threading.get_ident(), threading.Lock(), False

    def stop() -> None:
        with lock:
            if not done:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(OutOfTime)
                )

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            done = True
        timer.cancel()


@contextlib.contextmanager
def alarmed(seconds: float) -> Iterator[None]:
    """The same by the alarm of the system; one that was set before rings later."""

    def ring(number: int, frame: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, before)


def is_empty(function: object) -> bool:
    """Whether a function has no body yet: ``...``, ``pass`` or a docstring alone."""
    if not isinstance(function, FunctionType):
        return False
    steps = list(dis.get_instructions(function))
    constants = [step.argval for step in steps if "CONST" in step.opname]
    return {step.opname for step in steps} <= EMPTY and set(constants) <= {None, Ellipsis}


def line_of(function: object, error: BaseException) -> str:
    """The last line of the student's own code in a traceback: " in line 3, `…`", or nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    own = getattr(getattr(function, "__code__", None), "co_filename", None)
    mine = [frame for frame in frames if frame.filename == own]
    if own is None or not mine:
        mine = [frame for frame in frames if not frame.filename.startswith(HERE)]
        mine = [frame for frame in mine if "site-packages" not in frame.filename]
    if not mine or mine[-1].lineno is None:
        return ""
    line = mine[-1].line or linecache.getline(mine[-1].filename, mine[-1].lineno).strip()
    shown = line if len(line) <= 80 else f"{line[:77]}..."
    return f", in line {mine[-1].lineno}" + (f", `{shown}`" if line else "")


def sentence_of(error: BaseException) -> str:
    """The first line of an error's message, without the period at its end."""
    words = str(error).strip().splitlines()
    return words[0][:200].rstrip(".") if words else "no message"


def ways_to_call(
    function: Callable[..., Any], arguments: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], str]:
    """The arguments by place, or by name where only that fits; and why neither does, or nothing."""
    in_places = tuple(arguments.values())
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return in_places, {}, ""  # some built-in functions do not tell
    for places, names in ((in_places, {}), ((), arguments)):
        with contextlib.suppress(TypeError):
            signature.bind(*places, **names)
            return places, names, ""
    wanted = f"{len(arguments)} argument{'s' if len(arguments) > 1 else ''}"
    return (), {}, f"cannot be called with {wanted} ({', '.join(arguments)}): it is {signature}"


def same_thing(one: Any, other: Any) -> bool:
    """Whether an argument still is what it was."""
    if isinstance(one, Tensor):
        return (
            isinstance(other, Tensor)
            and one.shape == other.shape
            and bool(torch.equal(one.detach(), other.detach()))
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_thing, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_thing(one[k], other[k]) for k in one)
    return bool(one == other) if isinstance(one, (int, float, str)) else True


def copied(argument: Any) -> Any:
    """A copy of an argument that shares nothing with it; tensors keep ``requires_grad``."""
    if isinstance(argument, Tensor):
        return argument.detach().clone().requires_grad_(argument.requires_grad)
    if isinstance(argument, tuple) and hasattr(argument, "_fields"):
        return type(argument)(*map(copied, argument))
    if isinstance(argument, (list, tuple)):
        return type(argument)(map(copied, argument))
    if isinstance(argument, dict):
        return {key: copied(value) for key, value in argument.items()}
    return copy.deepcopy(argument) if not callable(argument) else argument


def call(
    function: Callable[..., Any],
    arguments: dict[str, Any],
    limit_seconds: float = LIMIT_SECONDS,
) -> Call:
    """Call ``function`` with the values of ``arguments``, in their order or by their names.

    The arguments are given as they are: hand in copies. Errors, ``sys.exit`` and endless loops end
    in ``Call.trouble``; only an interrupt by the user goes through.
    """
    result, before = Call(), copied(arguments)
    places, names, result.trouble = ways_to_call(function, arguments)
    if result.trouble:
        return result
    silence = io.StringIO()
    torch.manual_seed(0)
    try:
        with (
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
            limited(limit_seconds),
        ):
            value = function(*places, **names)
            if isinstance(value, (Iterator, ValuesView)):  # runs only now: a generator, a map
                value = list(itertools.islice(value, MOST))
            result.value = value
    except OutOfTime:
        result.stopped = True
        result.trouble = (
            f"was stopped after {LIMIT_SECONDS:g} seconds, the time for all cases together: does "
            "it ever end? If it does, let it do the same in fewer steps"
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        kind = type(error).__name__
        result.trouble = f"raises {kind}: {sentence_of(error)}{line_of(function, error)}"
    result.printed = silence.getvalue()
    result.changed = [name for name in arguments if not same_thing(before[name], arguments[name])]
    return result
