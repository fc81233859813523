"""Every gate of a trained GRU at every step of a text, as plain tensors, and gates clamped.

``trace_gates`` reads a text character by character, as ``predict`` does, and keeps what the
equations compute on the way; ``trace_sequence`` does so for a sequence of numbers. A ``Clamp``
holds a gate, the candidate or the state at a value, in all units or in some, at all steps or in a
range, and the model continues with what it was given.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._validate import (
    check_choice,
    check_count,
    check_gru_params,
    check_gru_state,
    check_numbers,
    check_token_ids,
    check_vocab,
)
from .dataset import Vocab, encode_text
from .equations import gru_step
from .models import RNNModel, params_from_rnn_model

# what a trace holds and a Clamp may replace, in words, with the range of its values
GATES = {
    "Z": ("update gate z", 0.0, 1.0),
    "R": ("reset gate r", 0.0, 1.0),
    "H_tilde": ("candidate", -1.0, 1.0),
    "H": ("state", -1.0, 1.0),
}
ORDERS = ("index", "half-life", "mean z", "variance")


@dataclass(frozen=True, eq=False)
class Clamp:
    """A gate held at a value: ``gate`` is ``"Z"``, ``"R"``, ``"H_tilde"`` or ``"H"``.

    ``value`` is a number, or a tensor ``(num_hiddens,)`` with one for each unit. ``units`` are the
    numbers of the units that are held (``None``: all). It acts on the steps from ``start`` up to,
    not including, ``stop`` (``None``: to the end, and in the text that the model generates after
    it). Raises ``ValueError`` for an unknown gate, a value outside its range, and an empty range
    of steps.
    """

    gate: str
    value: float | Sequence[float] | Tensor
    units: Iterable[int] | None = None
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense for any model; lists become tensors and tuples."""
        check_choice("gate", self.gate, tuple(GATES))
        _, low, high = GATES[self.gate]
        value = self.value
        try:
            if not isinstance(value, (int, float, Tensor)):
                value = torch.tensor(value, dtype=torch.float64)
            exact = torch.as_tensor(value, dtype=torch.float64)
            fits = bool(((exact >= low) & (exact <= high)).all())
        except (TypeError, ValueError):
            fits = False
        if not fits:
            found = " ".join(repr(self.value).split())  # a tensor's repr may have several lines
            raise ValueError(
                f"{self.gate} must be clamped to values from {low:g} to {high:g}, got {found:.60}."
            )
        object.__setattr__(self, "value", value)
        if self.units is not None:
            try:
                units = tuple(operator.index(unit) for unit in self.units)
            except (TypeError, RuntimeError):
                raise ValueError(
                    f"units must be the numbers of units, such as (3, 17), got {self.units!r:.60}."
                ) from None
            object.__setattr__(self, "units", units)
        check_count("start", self.start)
        if self.stop is not None:
            check_count("stop", self.stop)
        last = math.inf if self.stop is None else self.stop
        if self.start >= last:
            raise ValueError(
                "A clamp must act on at least one step, start < stop, got "
                f"start={self.start} and stop={self.stop}."
            )

    @classmethod
    def mean(cls, trace: GateTrace, gate: str, **where: Any) -> Clamp:
        """Hold ``gate`` at each unit's own mean over the text of ``trace``."""
        check_choice("gate", gate, tuple(GATES))
        return cls(gate, getattr(trace, gate).mean(dim=0), **where)

    @classmethod
    def frozen(cls, trace: GateTrace, gate: str, step: int, **where: Any) -> Clamp:
        """Hold ``gate``, from ``step`` on, at the values that it has there in ``trace``."""
        check_choice("gate", gate, tuple(GATES))
        _check_step(step, len(trace))
        return cls(gate, getattr(trace, gate)[step], **{"start": step, **where})


def _check_step(step: int, num_steps: int) -> None:
    if not 0 <= step < num_steps:
        raise ValueError(f"step must lie between 0 and {num_steps - 1}, got {step}.")


@dataclass(frozen=True, eq=False)
class GateTrace:
    """What a GRU does while it reads ``text``: one row a step.

    ``Z``, ``R``, ``H_tilde`` and ``H`` are ``(num_steps, num_hiddens)``; ``outputs``,
    ``(num_steps, num_outputs)``, is what the linear layer makes of each state, and
    ``probabilities`` its softmax: of a language model, those of the next character. ``losses``,
    ``(num_steps - 1,)``, are ``-ln`` of the probability that the character which did follow was
    given, in nats. ``clamps`` says what was held, and ``baseline`` is the trace without it
    (``None`` if nothing was). ``inputs``, ``(num_steps, num_inputs)``, is what was read: of a text
    one-hot vectors of ``ids``. ``H_start`` is the state before it, ``(num_hiddens,)``. Of a
    sequence that is no text, ``text`` has a name for each step, ``ids`` and ``losses`` are empty.
    """

    text: Sequence[str]
    ids: Tensor
    inputs: Tensor
    H_start: Tensor
    Z: Tensor
    R: Tensor
    H_tilde: Tensor
    H: Tensor
    outputs: Tensor
    probabilities: Tensor
    losses: Tensor
    clamps: tuple[Clamp, ...] = ()
    baseline: GateTrace | None = field(default=None, repr=False)

    @property
    def perplexity(self) -> float:
        """``exp`` of the mean loss; not a number for one character, and for what is no text."""
        mean = self.losses.double().mean().item()
        return math.exp(mean) if not mean > 700 else math.inf

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.inputs)

    def __repr__(self) -> str:
        """Its size, what is held, and of a text the perplexity."""
        held = f", {len(self.clamps)} clamped" if self.clamps else ""
        perplexity = f", perplexity {self.perplexity:.2f}" if len(self.ids) else ""
        return f"GateTrace: {len(self)} steps, {self.Z.shape[1]} units{held}{perplexity}"


# --- the equations, one step at a time ----------------------------------------------------------


class _Cell:
    """The weights of a model, ready to run one step at a time, with or without clamps."""

    def __init__(self, model: Any):
        """Take the weights from a scratch model or from ``nn.GRU``; refuse anything else."""
        self.layer: Any = getattr(model, "rnn", None)
        self.reads_ids = not isinstance(self.layer, nn.Module) or isinstance(model, RNNModel)
        if isinstance(self.layer, nn.GRU) and isinstance(getattr(model, "linear", 0), nn.Linear):
            params = params_from_rnn_model(model, reset_after=True)
        elif not isinstance(model, RNNModel) and hasattr(model, "params"):
            params = list(model.params)
            check_gru_params(params)
        elif isinstance(model, nn.GRU):
            raise ValueError(
                "The model must have outputs, got a bare nn.GRU: wrap it in "
                "RNNModel(layer, vocab_size) and train that."
            )
        else:
            layer = getattr(model, "rnn", model)
            raise ValueError(
                "The model must have an update and a reset gate (a scratch GRU, or an RNNModel "
                f"around nn.GRU), got one built on {type(layer).__name__}."
            )
        self.params = [p.detach() for p in params]
        if not all(bool(p.isfinite().all()) for p in self.params):
            raise ValueError(
                "The model has weights that are not finite numbers: its training went wrong, so "
                "load or train another."
            )
        self.vocab_size, self.num_hiddens = self.params[0].shape
        self.reset_after = len(params) == 12

    def one_hot(self, ids: Tensor) -> Tensor:
        """Token ids as one-hot vectors of the parameters' type."""
        return F.one_hot(ids, self.vocab_size).to(self.params[0])

    def logits(self, H: Tensor) -> Tensor:
        """What the model makes of a state, ``(..., num_outputs)``: scores of the next character."""
        return H @ self.params[9] + self.params[10]

    def initial_state(self, state: Sequence[Tensor] | Tensor | None) -> Tensor:
        """The state before the first character, ``(num_hiddens,)``."""
        if state is None:
            return torch.zeros_like(self.params[2])
        H = state[0] if isinstance(state, (tuple, list)) and len(state) == 1 else state
        if not isinstance(H, Tensor) or H.numel() != self.num_hiddens or H.isnan().any():
            found = f"shape {tuple(H.shape)}" if isinstance(H, Tensor) else f"{H!r:.60}"
            if isinstance(H, Tensor) and H.numel() == self.num_hiddens:
                found = "numbers that are nan"
            raise ValueError(
                f"The state must be one row of {self.num_hiddens} numbers, as "
                f"begin_state(1, device) gives it, got {found}."
            )
        return H.detach().to(self.params[0]).reshape(-1)

    def prepare(self, clamps: Iterable[Clamp]) -> list[tuple]:
        """``clamps`` as tensors of this model; refuses values and units that do not fit it."""
        like = self.params[2]
        prepared = []
        for c in clamps:
            value = torch.as_tensor(c.value, dtype=like.dtype, device=like.device)
            if value.shape not in ((), (self.num_hiddens,)):
                raise ValueError(
                    f"The value for {c.gate} must be a number, or have shape "
                    f"({self.num_hiddens},), one for each unit, got {tuple(value.shape)}."
                )
            mask = torch.ones_like(like, dtype=torch.bool)
            if c.units is not None:
                units = list(c.units)
                if not units or not all(0 <= u < self.num_hiddens for u in units):
                    raise ValueError(
                        f"units must lie between 0 and {self.num_hiddens - 1}, at least one, got "
                        f"{tuple(units)!r:.60}."
                    )
                mask = torch.zeros_like(mask)
                mask[units] = True
            stop = math.inf if c.stop is None else c.stop
            prepared.append((c.gate, value, mask, c.start, stop))
        return prepared

    def step(self, X: Tensor, H: Tensor, prepared: Sequence[tuple], t: int) -> tuple[Tensor, ...]:
        """``gru_step`` at step ``t``: Z, R, H_tilde and the new H, each of the shape of ``H``."""
        active = [held[:3] for held in prepared if held[3] <= t < held[4]]

        def clamp(name: str, values: Tensor) -> Tensor:
            for gate, value, mask in active:
                if gate == name:
                    values = torch.where(mask, value, values)
            return values

        return gru_step(
            X, H, self.params, reset_after=self.reset_after, clamp=clamp if active else None
        )

    @torch.no_grad()
    def run(self, inputs: Tensor, H: Tensor, prepared: Sequence[tuple] = ()) -> tuple[Tensor, ...]:
        """Read ``inputs`` from the state ``H``: Z, R, H_tilde and H, one row for each step."""
        steps = []
        for t, X in enumerate(inputs):
            steps.append(self.step(X, H, prepared, t))
            H = steps[-1][-1]
        return tuple(torch.stack(part) for part in zip(*steps, strict=True))


@torch.no_grad()
def _compare_with_model(
    model: Any, cell: _Cell, ids: Tensor, before: Tensor, after: Tensor
) -> None:
    """Hold states that were computed here against the model's own, one step at a time.

    ``ids`` are any number of characters, or of rows of numbers for a model that reads those,
    ``before`` and ``after`` the states around each, one row each. The model makes the same steps,
    as one minibatch. Raises ``ValueError`` where the largest difference between states or logits,
    relative to their size, is more than rounding: the model then computes something other than the
    equations of this course.
    """
    if cell.reads_ids:
        state = before[None] if isinstance(model, RNNModel) else before
        logits, (state,) = model(ids[:, None], (state,))
    else:
        time = 1 if cell.layer.batch_first else 0
        outputs, state = cell.layer(ids.unsqueeze(time), before[None])
        logits = model.linear(outputs.squeeze(time))
    for ours, own in ((after, state.reshape(after.shape)), (cell.logits(after), logits)):
        size = own.abs().max().clamp_min(torch.finfo(own.dtype).tiny)
        gap = ((ours - own).abs().max() / size).item()
        if not gap <= (1e-9 if before.dtype == torch.float64 else 1e-3):
            raise ValueError(
                f"The model's own outputs differ by {gap:.1%} from those of the GRU equations with "
                "its weights: its forward function computes something else, so its gates cannot "
                "be traced."
            )


def _states_before(H_start: Tensor, H: Tensor) -> Tensor:
    """The states before each step, given the first and those after each step."""
    return torch.cat([H_start[None], H[:-1]])


def trace_gates(
    model: nn.Module,
    text: str,
    vocab: Vocab,
    clamps: Clamp | Iterable[Clamp] = (),
    state: Sequence[Tensor] | Tensor | None = None,
) -> GateTrace:
    """Read ``text`` with ``model`` and keep every gate at every step: a ``GateTrace``.

    ``model`` is a scratch GRU or an ``RNNModel`` around a one-layer ``nn.GRU``. ``nn.GRU`` does
    not give its gates away, so they are computed from its weights (equations: documentation of
    ``torch.nn.GRU``), and the states are held against its own outputs. ``text`` is normalized as
    the corpus is. ``clamps`` is a ``Clamp`` or several; where two hold the same unit at the same
    step, the later one counts. ``state`` (default: zeros) is that before the first character.

    Raises ``ValueError`` for an empty text, characters or a vocabulary that the model does not
    know, a model without gates, one whose outputs are not those of the equations, and clamps that
    do not fit the model.
    """
    cell = check_traceable(model, vocab)
    ids = torch.tensor(encode_text(text, vocab), device=cell.params[0].device)
    words = "".join(vocab.to_tokens(ids))
    return _trace(model, cell, words, ids, cell.one_hot(ids), clamps, state)


def trace_sequence(
    model: nn.Module,
    X: Tensor,
    names: Sequence[str] | None = None,
    clamps: Clamp | Iterable[Clamp] = (),
    state: Sequence[Tensor] | Tensor | None = None,
) -> GateTrace:
    """Read the rows of ``X``, ``(num_steps, num_inputs)``, and keep every gate at every step.

    ``model`` holds an ``nn.GRU`` of one layer as ``rnn`` and a linear layer as ``linear``, which
    reads each state. ``names`` are what the steps are called (default: the first number of each
    row). The rest is as in ``trace_gates``, which see; raises ``ValueError`` as it does, and for
    an ``X`` of another shape or with numbers that are not finite.
    """
    cell = _Cell(model)
    check_numbers(X, (None, cell.vocab_size))
    X = X.detach().to(cell.params[0])
    names = tuple(f"{row[0]:.2f}" for row in X.tolist()) if names is None else tuple(names)
    if len(names) != len(X):
        raise ValueError(f"names must have one for each of the {len(X)} steps, got {len(names)}.")
    no_ids = torch.empty(0, dtype=torch.long, device=X.device)
    return _trace(model, cell, names, no_ids, X, clamps, state)


def _trace(
    model: nn.Module,
    cell: _Cell,
    text: Sequence[str],
    ids: Tensor,
    inputs: Tensor,
    clamps: Clamp | Iterable[Clamp],
    state: Sequence[Tensor] | Tensor | None,
) -> GateTrace:
    """The trace of a text or a sequence, held against the model's own states."""
    H_start = cell.initial_state(state)
    steps = cell.run(inputs, H_start)
    before = _states_before(H_start, steps[-1])
    _compare_with_model(model, cell, ids if cell.reads_ids else inputs, before, steps[-1])
    trace = _pack(cell, text, ids, inputs, H_start, steps)
    clamps = _as_tuple(clamps)
    return clamp_gates(model, trace, clamps) if clamps else trace


def clamp_gates(model: nn.Module, trace: GateTrace, clamps: Clamp | Iterable[Clamp]) -> GateTrace:
    """What ``model`` does on the text of ``trace`` while ``clamps`` (one or several) act.

    The result has the plain trace beside it, as ``baseline``. Raises ``ValueError`` for clamps
    that do not fit the model or the text.
    """
    baseline, clamps = trace.baseline or trace, _as_tuple(clamps)
    cell = _cell_of(model, baseline)
    prepared = cell.prepare(clamps)
    for c in clamps:
        if c.start >= len(baseline):
            raise ValueError(
                f"The start of a clamp must be one of steps 0 to {len(baseline) - 1}, got "
                f"{c.start}."
            )
    H_start, inputs = baseline.H_start, baseline.inputs
    steps = cell.run(inputs, H_start, prepared)
    read = baseline.text, baseline.ids, inputs, H_start
    return _pack(cell, *read, steps, clamps=clamps, baseline=baseline)


def _cell_of(model: nn.Module, trace: GateTrace) -> _Cell:
    """The cell of the model that a trace is of; refuses a model of another size."""
    cell = _Cell(model)
    sizes = trace.H.shape[1], trace.inputs.shape[1]
    if sizes != (cell.num_hiddens, cell.vocab_size):
        raise ValueError(
            f"The model must be the one that was traced, with {sizes[0]} units and {sizes[1]} "
            f"inputs, got one with {cell.num_hiddens} and {cell.vocab_size}."
        )
    return cell


def _as_tuple(clamps: Clamp | Iterable[Clamp]) -> tuple[Clamp, ...]:
    return (clamps,) if isinstance(clamps, Clamp) else tuple(clamps)


def check_traceable(model: nn.Module, vocab: Vocab) -> _Cell:
    """Raise ``ValueError`` for a model that has no gates, or that ``vocab`` does not belong to."""
    cell = _Cell(model)
    if not cell.reads_ids:
        raise ValueError(
            f"The model must read characters, got {type(model).__name__}, which reads rows of "
            f"{cell.vocab_size} numbers: give them to trace_sequence."
        )
    check_vocab(vocab, cell)
    return cell


def _pack(
    cell: _Cell,
    text: Sequence[str],
    ids: Tensor,
    inputs: Tensor,
    H_start: Tensor,
    steps: Sequence[Tensor],
    **more: Any,
) -> GateTrace:
    """A trace of four tensors, with what follows from the states."""
    outputs = cell.logits(steps[-1])
    log_p = torch.log_softmax(outputs, dim=-1)
    losses = -log_p[:-1].gather(1, ids[1:, None])[:, 0] if len(ids) else log_p[:0, 0]
    Z, R, H_tilde, H = steps
    read = text, ids, inputs, H_start
    return GateTrace(*read, Z, R, H_tilde, H, outputs, log_p.exp(), losses, **more)


def trace_minibatch(
    model: nn.Module,
    X: Tensor,
    state: Sequence[Tensor] | None = None,
    clamps: Clamp | Iterable[Clamp] = (),
) -> dict[str, Tensor]:
    """Every gate of a minibatch: ``Z``, ``R``, ``H_tilde``, ``H`` and more, by name.

    ``X`` holds token ids, ``(batch_size, num_steps)``, or for a model that reads numbers (see
    ``trace_sequence``) those, ``(batch_size, num_steps, num_inputs)``. The first four results have
    shape ``(num_steps, batch_size, num_hiddens)``; ``outputs`` and their softmax,
    ``probabilities``, ``(num_steps, batch_size, num_outputs)``. ``clamps`` is a ``Clamp`` or
    several. ``state`` (default: zeros) is ``(H,)``, ``(batch_size, num_hiddens)``. Raises
    ``ValueError`` for a model without gates, unknown ids, and a state or clamps that do not fit.
    """
    cell = _Cell(model)
    if cell.reads_ids:
        check_token_ids(X, cell.vocab_size)
    else:
        check_numbers(X, (None, None, cell.vocab_size))
    H = torch.zeros(len(X), cell.num_hiddens).to(cell.params[0])
    if state is not None:
        check_gru_state(state, *H.shape)
        H = state[0].detach().to(cell.params[0])
    ids = X.T.long().to(H.device) if cell.reads_ids else X.detach().transpose(0, 1).to(H)
    inputs = cell.one_hot(ids) if cell.reads_ids else ids
    steps = cell.run(inputs, H)
    after = steps[-1]
    before = _states_before(H, after)
    _compare_with_model(model, cell, ids.flatten(0, 1), before.flatten(0, 1), after.flatten(0, 1))
    prepared = cell.prepare(_as_tuple(clamps))
    if prepared:
        steps = cell.run(inputs, H, prepared)
    outputs = cell.logits(steps[-1])
    found = dict(zip(GATES, steps, strict=True))
    return found | {"probabilities": torch.softmax(outputs, dim=-1), "outputs": outputs}


@torch.no_grad()
def continue_text(
    model: nn.Module, trace: GateTrace, vocab: Vocab, step: int, num_chars: int
) -> str:
    """The ``num_chars`` characters with which the model continues after ``step`` of ``trace``.

    It takes the likeliest character each time. What ``trace`` has clamped stays clamped. Raises
    ``ValueError`` for a step that is not in the text, another model or vocabulary, and a negative
    ``num_chars``.
    """
    _check_step(step, len(trace))
    cell = _cell_of(model, trace)
    check_traceable(model, vocab)
    check_count("num_chars", num_chars)
    prepared = cell.prepare(trace.clamps)
    every_token = cell.one_hot(torch.arange(cell.vocab_size, device=trace.H.device))
    H, generated = trace.H[step], []
    for t in range(step + 1, step + 1 + num_chars):
        generated.append(int(cell.logits(H).argmax()))
        *_, H = cell.step(every_token[generated[-1]], H, prepared, t)
    return "".join(vocab.to_tokens(generated))


# --- memory -------------------------------------------------------------------------------------


def half_lives(trace: GateTrace) -> Tensor:
    """The half-life of each unit, in steps, from its own update gates: ``(num_hiddens,)``.

    The share of a state that is left after the text is the product of the gates on the way, so
    the half-life is ``ln 2`` over the mean of ``-ln z``: an average over the text, infinite for a
    unit that never forgets. What comes back through other units and the candidate is not counted;
    ``state_jacobians`` has it all.
    """
    return math.log(2) / trace.Z.double().log().mean(dim=0).abs()


def unit_order(trace: GateTrace, by: str = "index") -> Tensor:
    """The numbers of the units in an order: ``(num_hiddens,)``.

    ``by`` is ``"index"``, or ``"half-life"``, ``"mean z"`` or ``"variance"`` (of the state over
    the text), each from the largest down. Clamps do not change the order.
    """
    check_choice("by", by, ORDERS)
    baseline = trace.baseline or trace
    if by == "index":
        return torch.arange(baseline.Z.shape[1])
    if by == "variance":
        key = baseline.H.double().var(dim=0, correction=0)
    else:
        key = half_lives(baseline) if by == "half-life" else baseline.Z.double().mean(dim=0)
    return key.cpu().argsort(descending=True, stable=True)


def state_jacobians(model: nn.Module, trace: GateTrace) -> Tensor:
    """The derivative of each state by the one before: ``(num_steps, num_hiddens, num_hiddens)``.

    ``J[t, i, j]`` is the derivative of unit i after step t by unit j before it, with all that is
    clamped in ``trace`` clamped here too, by automatic differentiation.
    """
    cell = _cell_of(model, trace)
    prepared = cell.prepare(trace.clamps)

    def state_after(t: int, X: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda H: cell.step(X, H, prepared, t)[-1]

    before = _states_before(trace.H_start, trace.H)
    return torch.stack(
        [
            torch.func.jacrev(state_after(t, X))(H)
            for t, (X, H) in enumerate(zip(trace.inputs, before, strict=True))
        ]
    )
