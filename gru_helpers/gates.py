"""Every gate of a trained GRU at every step of a text, as plain tensors, and gates held by force.

``trace_gates`` reads a text character by character, as ``predict`` does, and keeps what the
equations compute on the way. A ``Force`` replaces a gate, the candidate or the state, in all units
or in some, at all steps or in a range, and the model goes on with what it was given.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field

import torch
from torch import nn

from .dataset import Vocab, text_ids
from .gru import check_gru_params, check_gru_state
from .models import RNNModel, check_token_ids, params_from_nn_gru

# what a trace holds and a Force may replace, in words, with the range of its values
GATES = {
    "Z": ("update gate z", 0.0, 1.0),
    "R": ("reset gate r", 0.0, 1.0),
    "H_tilde": ("candidate", -1.0, 1.0),
    "H": ("state", -1.0, 1.0),
}
ORDERS = ("index", "half-life", "mean z", "variance")


@dataclass(frozen=True, eq=False)
class Force:
    """A gate held at a value: ``gate`` is ``"Z"``, ``"R"``, ``"H_tilde"`` or ``"H"``.

    ``value`` is a number, or a tensor ``(num_hiddens,)`` with one for each unit. ``units`` are the
    numbers of the units that are held (``None``: all). It acts on the steps from ``start`` up to,
    not including, ``stop`` (``None``: to the end, and in the text that the model goes on to
    write). Raises ``ValueError`` for a gate that is not known, a value outside its range, and
    steps that are none.
    """

    gate: str
    value: float | torch.Tensor
    units: tuple[int, ...] | None = None
    start: int = 0
    stop: int | None = None

    def __post_init__(self):
        """Refuse what makes no sense for any model; lists become tensors and tuples."""
        if self.gate not in GATES:
            raise ValueError(f"gate={self.gate!r} is not known: use one of {', '.join(GATES)}.")
        _, low, high = GATES[self.gate]
        value = self.value
        try:
            if not isinstance(value, (int, float, torch.Tensor)):
                value = torch.tensor(value, dtype=torch.float64)
            exact = torch.as_tensor(value, dtype=torch.float64)
            fits = bool(((exact >= low) & (exact <= high)).all())
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise ValueError(
                f"{self.gate} cannot be held at {self.value!r:.60}: give values from {low:g} to "
                f"{high:g}."
            )
        object.__setattr__(self, "value", value)
        if self.units is not None:
            try:
                units = tuple(operator.index(unit) for unit in self.units)
            except (TypeError, RuntimeError):
                raise ValueError(
                    f"units={self.units!r:.60} are no units: give their numbers, such as (3, 17)."
                ) from None
            object.__setattr__(self, "units", units)
        last = math.inf if self.stop is None else self.stop
        if not 0 <= self.start < last:
            raise ValueError(
                f"start={self.start}, stop={self.stop} hold no step: give 0 <= start < stop."
            )

    @classmethod
    def mean(cls, trace: GateTrace, gate: str, **where) -> Force:
        """Hold ``gate`` at each unit's own mean over the text of ``trace``."""
        return cls(gate, _of(trace, gate).mean(dim=0), **where)

    @classmethod
    def frozen(cls, trace: GateTrace, gate: str, step: int, **where) -> Force:
        """Hold ``gate``, from ``step`` on, at the values that it has there in ``trace``."""
        values = _of(trace, gate)
        _check_step(step, len(values))
        return cls(gate, values[step], **{"start": step, **where})


def _of(trace: GateTrace, gate: str) -> torch.Tensor:
    """The values of ``gate`` in ``trace``."""
    if gate not in GATES:
        raise ValueError(f"gate={gate!r} is not known: use one of {', '.join(GATES)}.")
    return getattr(trace, gate)


def _check_step(step: int, num_steps: int) -> None:
    if not 0 <= step < num_steps:
        raise ValueError(f"step={step} is not in the text: its steps are 0 to {num_steps - 1}.")


@dataclass(frozen=True, eq=False)
class GateTrace:
    """What a GRU does while it reads ``text``: one row a step.

    ``Z``, ``R``, ``H_tilde`` and ``H`` are ``(num_steps, num_hiddens)``; ``probabilities``,
    ``(num_steps, vocab_size)``, are those of the next character; ``losses``, ``(num_steps - 1,)``,
    are ``-ln`` of the probability that the character which did follow was given, in nats.
    ``force`` says what was held, and ``unforced`` is the trace without it (``None`` if nothing
    was). ``H_start`` is the state before the first character, ``(num_hiddens,)``.
    """

    text: str
    ids: torch.Tensor
    H_start: torch.Tensor
    Z: torch.Tensor
    R: torch.Tensor
    H_tilde: torch.Tensor
    H: torch.Tensor
    probabilities: torch.Tensor
    losses: torch.Tensor
    force: tuple[Force, ...] = ()
    unforced: GateTrace | None = field(default=None, repr=False)

    @property
    def perplexity(self) -> float:
        """``exp`` of the mean loss; not a number for a text of one character."""
        mean = self.losses.double().mean().item()
        return math.exp(mean) if not mean > 700 else math.inf

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Its size, what is held, and the perplexity."""
        held = f", {len(self.force)} forced" if self.force else ""
        return (
            f"GateTrace: {len(self)} steps, {self.Z.shape[1]} units{held}, perplexity "
            f"{self.perplexity:.2f}"
        )


# --- the equations, one step at a time --------------------------------------------------------


class _Equations:
    """The weights of a model, ready to be run one character at a time, with or without force."""

    def __init__(self, model):
        """Take the weights from a scratch model or from ``nn.GRU``; refuse anything else."""
        if isinstance(model, RNNModel) and isinstance(model.rnn, nn.GRU):
            if model.rnn.num_layers * model.num_directions > 1:
                raise ValueError(
                    f"This nn.GRU has num_layers={model.rnn.num_layers} and bidirectional="
                    f"{model.rnn.bidirectional}; expected 1 and False, since each layer and each "
                    "direction has gates of its own."
                )
            params = params_from_nn_gru(model, reset="after")
        elif not isinstance(model, RNNModel) and hasattr(model, "params"):
            params = list(model.params)
            check_gru_params(params)
        elif isinstance(model, nn.GRU):
            raise ValueError(
                "This is a bare nn.GRU, which does not predict characters: wrap it in "
                "RNNModel(layer, vocab_size) and train that."
            )
        else:
            layer = getattr(model, "rnn", model)
            raise ValueError(
                f"This model is built on {type(layer).__name__}, which has no update and reset "
                "gate: give a scratch GRU, or an RNNModel around nn.GRU."
            )
        params = [p.detach() for p in params]
        if not all(bool(p.isfinite().all()) for p in params):
            raise ValueError(
                "This model has weights that are not finite numbers: its training went wrong, so "
                "load or train another."
            )
        W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q, *b_hn = params
        # a one-hot vector times a matrix is a row of it, so the biases can be added beforehand
        self.from_x = (W_xz + b_z, W_xr + b_r, W_xh + b_h)  # (vocab_size, num_hiddens) each
        self.from_h = (W_hz, W_hr, W_hh)
        self.output = (W_hq, b_q)
        self.b_hn = b_hn[0] if b_hn else None
        self.num_hiddens, self.vocab_size = W_hz.shape[0], W_xz.shape[0]
        self.like = W_hz

    def prepare(self, force) -> list[tuple]:
        """``force`` as tensors of this model; refuses values and units that do not fit it."""
        prepared = []
        for f in force:
            value = torch.as_tensor(f.value, dtype=self.like.dtype, device=self.like.device)
            if value.shape not in ((), (self.num_hiddens,)):
                raise ValueError(
                    f"The value for {f.gate} has shape {tuple(value.shape)}; expected a number, or "
                    f"({self.num_hiddens},), one for each unit."
                )
            mask = torch.ones(self.num_hiddens, dtype=torch.bool, device=self.like.device)
            if f.units is not None:
                wrong = [u for u in f.units if not 0 <= u < self.num_hiddens]
                if wrong or not f.units:
                    raise ValueError(
                        f"units={tuple(f.units)!r:.60} cannot be held: this model's units are 0 to "
                        f"{self.num_hiddens - 1}."
                    )
                mask = torch.zeros_like(mask)
                mask[list(f.units)] = True
            stop = math.inf if f.stop is None else f.stop
            prepared.append((f.gate, value, mask, f.start, stop))
        return prepared

    def step(self, idx, H, force, t: int):
        """One character: Z, R, H_tilde and the new H, each of the shape of ``H``.

        ``idx`` is an id, with H ``(num_hiddens,)``, or one id for each row of H.
        """

        def held(gate, values):
            for which, value, mask, start, stop in force:
                if which == gate and start <= t < stop:
                    values = torch.where(mask, value, values)
            return values

        W_hz, W_hr, W_hh = self.from_h
        X_z, X_r, X_h = (W[idx] for W in self.from_x)
        Z = held("Z", torch.sigmoid(X_z + H @ W_hz))
        R = held("R", torch.sigmoid(X_r + H @ W_hr))
        if self.b_hn is None:
            H_tilde = torch.tanh(X_h + (R * H) @ W_hh)
        else:
            H_tilde = torch.tanh(X_h + R * (H @ W_hh + self.b_hn))
        H_tilde = held("H_tilde", H_tilde)
        return Z, R, H_tilde, held("H", Z * H + (1 - Z) * H_tilde)

    def logits(self, H):
        """The scores of the next character, ``(..., vocab_size)``."""
        W_hq, b_q = self.output
        return H @ W_hq + b_q

    def start(self, state):
        """The state before the first character, ``(num_hiddens,)``."""
        if state is None:
            return torch.zeros_like(self.like[0])
        H = state[0] if isinstance(state, (tuple, list)) and len(state) == 1 else state
        if not isinstance(H, torch.Tensor) or H.numel() != self.num_hiddens or H.isnan().any():
            found = (
                f"has shape {tuple(H.shape)}" if isinstance(H, torch.Tensor) else f"is {H!r:.60}"
            )
            raise ValueError(
                f"The state {found}; expected one row of {self.num_hiddens} numbers, as "
                "begin_state(1, device) gives it."
            )
        return H.detach().to(self.like).reshape(-1)

    @torch.no_grad()
    def run(self, ids, H, force):
        """Read all of ``ids`` from the state ``H``: four tensors, one row for each step."""
        trail = []
        for t, idx in enumerate(ids):
            trail.append(self.step(idx, H, force, t))
            H = trail[-1][-1]
        return tuple(torch.stack(part) for part in zip(*trail, strict=True))


@torch.no_grad()
def _prove(model, equations: _Equations, ids, before, after) -> float:
    """Hold states that were computed here against the model's own, one step at a time.

    ``ids`` are any number of characters, ``before`` and ``after`` the states around each, one row
    each. The model makes the same steps, as one minibatch. Returns the largest difference between
    states or logits, relative to their size, and raises ``ValueError`` where that is more than
    rounding: the model then computes something other than the equations of this course.
    """
    state = before[None] if isinstance(model, RNNModel) else before
    theirs, (state,) = model(ids[:, None], (state,))
    pairs = ((after, state.reshape(after.shape)), (equations.logits(after), theirs))
    gap = max(
        ((a - b).abs().max() / b.abs().max().clamp_min(torch.finfo(b.dtype).tiny)).item()
        for a, b in pairs
    )
    if not gap <= (1e-9 if before.dtype == torch.float64 else 1e-3):
        raise ValueError(
            f"The model's own outputs differ by {gap:.1%} from those of the GRU equations with its "
            "weights: its forward function computes something else, so its gates cannot be traced."
        )
    return gap


def _before(H_start, H):
    """The states before each step, given the first and those after each step."""
    return torch.cat([H_start[None], H[:-1]])


def trace_gates(model, text: str, vocab: Vocab, force=(), state=None) -> GateTrace:
    """Read ``text`` with ``model`` and keep every gate at every step: a ``GateTrace``.

    ``model`` is a scratch GRU or an ``RNNModel`` around a one-layer ``nn.GRU``. ``nn.GRU`` does
    not give its gates away, so they are computed from its weights (equations: documentation of
    ``torch.nn.GRU``), and the states are held against its own outputs. ``text`` is normalised as
    the corpus is. ``force`` is a ``Force`` or several; where two hold the same unit at the same
    step, the later one counts. ``state`` (default: zeros) is that before the first character.

    Raises ``ValueError`` for an empty text, characters or a vocabulary that the model does not
    know, a model without gates, one whose outputs are not those of the equations, and a ``force``
    that does not fit the model.
    """
    check_traceable(model, vocab)
    ids = text_ids(text, vocab)
    text, equations = "".join(vocab.to_tokens(ids)), _Equations(model)
    H_start = equations.start(state)
    parts = equations.run(ids, H_start, ())
    before = _before(H_start, parts[-1])
    _prove(model, equations, torch.tensor(ids, device=before.device), before, parts[-1])
    trace = _pack(equations, text, ids, H_start, parts)
    force = _several(force)
    return force_gates(model, trace, force) if force else trace


def force_gates(model, trace: GateTrace, force) -> GateTrace:
    """What ``model`` does on the text of ``trace`` while ``force`` (a ``Force``, or several) acts.

    The result has the plain trace beside it, as ``unforced``. Raises ``ValueError`` for a ``force``
    that does not fit the model or the text.
    """
    plain, force = trace.unforced or trace, _several(force)
    equations = _equations_of(model, plain)
    prepared = equations.prepare(force)
    for f in force:
        if f.start >= len(plain):
            raise ValueError(
                f"{f.gate} is held from step {f.start} on, and the text has steps 0 to "
                f"{len(plain) - 1}: choose an earlier start."
            )
    ids = plain.ids.tolist()
    parts = equations.run(ids, plain.H_start, prepared)
    return _pack(equations, plain.text, ids, plain.H_start, parts, force=force, unforced=plain)


def _equations_of(model, trace: GateTrace) -> _Equations:
    """The equations of the model that a trace is of; refuses a model of another size."""
    equations = _Equations(model)
    sizes = trace.H.shape[1], trace.probabilities.shape[1]
    if sizes != (equations.num_hiddens, equations.vocab_size):
        raise ValueError(
            f"The trace has {sizes[0]} units and {sizes[1]} tokens, and this model "
            f"{equations.num_hiddens} and {equations.vocab_size}: give the model that was traced."
        )
    return equations


def _several(force) -> tuple[Force, ...]:
    return (force,) if isinstance(force, Force) else tuple(force)


def check_traceable(model, vocab: Vocab) -> None:
    """Raise ``ValueError`` for a model that has no gates, or that ``vocab`` does not belong to."""
    equations = _Equations(model)
    if equations.vocab_size != len(vocab):
        raise ValueError(_other_vocabulary(vocab, equations))


def _other_vocabulary(vocab: Vocab, equations: _Equations) -> str:
    return (
        f"The vocabulary has {len(vocab)} tokens and the model {equations.vocab_size}: use the "
        "vocabulary that the model was trained with."
    )


def _pack(equations, text, ids, H_start, parts, **more) -> GateTrace:
    """A trace of four tensors, with what follows from the states."""
    ids = torch.tensor(ids, device=parts[0].device)
    log_p = torch.log_softmax(equations.logits(parts[-1]), dim=-1)
    losses = -log_p[:-1].gather(1, ids[1:, None])[:, 0]
    return GateTrace(text, ids, H_start, *parts, log_p.exp(), losses, **more)


def trace_minibatch(model, X, state=None) -> dict[str, torch.Tensor]:
    """Every gate of a minibatch: ``Z``, ``R``, ``H_tilde``, ``H`` and ``probabilities``, by name.

    ``X`` holds token ids, ``(batch_size, num_steps)``; the first four results have shape
    ``(num_steps, batch_size, num_hiddens)``, the last ``(num_steps, batch_size, vocab_size)``.
    ``state`` (default: zeros) is ``(H,)``, ``(batch_size, num_hiddens)``. Raises ``ValueError`` for
    a model without gates, unknown ids and a state that does not fit.
    """
    equations = _Equations(model)
    check_token_ids(X, equations.vocab_size)
    H = torch.zeros(len(X), equations.num_hiddens).to(equations.like)
    if state is not None:
        check_gru_state(state, *H.shape)
        H = state[0].detach().to(equations.like)
    if 0 in X.shape:
        raise ValueError(f"X has shape {tuple(X.shape)}: give at least one row and one step.")
    ids = X.T.to(H.device)
    parts = equations.run(ids, H, ())
    states = parts[-1]
    before = _before(H, states)
    _prove(model, equations, ids.reshape(-1), before.flatten(0, 1), states.flatten(0, 1))
    found = dict(zip(GATES, parts, strict=True))
    return found | {"probabilities": torch.softmax(equations.logits(found["H"]), dim=-1)}


@torch.no_grad()
def write_on(model, trace: GateTrace, vocab: Vocab, step: int, num_chars: int) -> str:
    """The ``num_chars`` characters with which the model goes on after ``step`` of ``trace``.

    It takes the likeliest character each time. What ``trace`` holds by force stays held. Raises
    ``ValueError`` for a step that is not in the text, another model or vocabulary, and a negative
    ``num_chars``.
    """
    _check_step(step, len(trace))
    equations = _equations_of(model, trace)
    if len(vocab) != equations.vocab_size:
        raise ValueError(_other_vocabulary(vocab, equations))
    if not isinstance(num_chars, int) or num_chars < 0:
        raise ValueError(f"num_chars={num_chars!r} is not a length: give 0 or more.")
    force = equations.prepare(trace.force)
    H, written = trace.H[step], []
    for t in range(step + 1, step + 1 + num_chars):
        written.append(int(equations.logits(H).argmax()))
        *_, H = equations.step(written[-1], H, force, t)
    return "".join(vocab.to_tokens(written))


# --- memory -----------------------------------------------------------------------------------


def half_lives(trace: GateTrace) -> torch.Tensor:
    """The half-life of each unit, in steps, from its own update gates: ``(num_hiddens,)``.

    The share of a state that is left after the text is the product of the gates on the way, so
    the half-life is ``ln 2`` over the mean of ``-ln z``: an average over the text, infinite for a
    unit that never forgets. What comes back through other units and the candidate is not counted;
    see ``own_derivatives``.
    """
    return math.log(2) / trace.Z.double().log().mean(dim=0).abs()


def unit_order(trace: GateTrace, by: str = "index") -> torch.Tensor:
    """The numbers of the units in an order: ``(num_hiddens,)``.

    ``by`` is ``"index"``, or ``"half-life"``, ``"mean z"`` or ``"variance"`` (of the state over
    the text), each from the largest down. What is held by force does not change the order.
    """
    plain = trace.unforced or trace
    if by == "index":
        return torch.arange(plain.Z.shape[1])
    if by not in ORDERS:
        raise ValueError(f"by={by!r} is no order of units: use one of {', '.join(ORDERS)}.")
    if by == "variance":
        key = plain.H.double().var(dim=0, correction=0)
    else:
        key = half_lives(plain) if by == "half-life" else plain.Z.double().mean(dim=0)
    return key.cpu().argsort(descending=True, stable=True)


def state_jacobians(model, trace: GateTrace) -> torch.Tensor:
    """The derivative of each state by the one before: ``(num_steps, num_hiddens, num_hiddens)``.

    ``J[t, i, j]`` is the derivative of unit i after step t by unit j before it, with all that is
    held in ``trace`` held here too, by automatic differentiation.
    """
    equations = _equations_of(model, trace)
    force = equations.prepare(trace.force)
    before, jacobians = _before(trace.H_start, trace.H), []
    for t, (idx, H) in enumerate(zip(trace.ids.tolist(), before, strict=True)):

        def state_after(H, idx=idx, t=t):
            return equations.step(idx, H, force, t)[-1]

        jacobians.append(torch.func.jacrev(state_after)(H))
    return torch.stack(jacobians)


def own_derivatives(jacobians: torch.Tensor, max_lag: int, every: int = 1) -> torch.Tensor:
    """How much of each unit's state is left after k steps, by derivatives.

    Returns ``(max_lag + 1, num_hiddens)``. Row k is the derivative of the state now by that of
    the same unit k steps ago, through all paths there are, as the mean of its absolute value over
    every ``every``-th step, from the end of the text backwards. ``jacobians`` are those of
    ``state_jacobians``. Raises ``ValueError`` for a text of no more than ``max_lag`` steps, and
    for an ``every`` below 1.
    """
    num_steps, num_hiddens, _ = jacobians.shape
    if not 0 < max_lag < num_steps:
        raise ValueError(
            f"max_lag={max_lag} does not fit a text of {num_steps} steps: give 1 or more, and a "
            "text that is longer than that."
        )
    if every < 1:
        raise ValueError(f"every={every} skips nothing: give 1 or more.")
    found = []
    for now in range(num_steps - 1, max_lag - 1, -every):
        product, rows = torch.eye(num_hiddens).to(jacobians), []
        for lag in range(max_lag + 1):
            rows.append(product.diagonal().abs())
            product = product @ jacobians[now - lag]
        found.append(torch.stack(rows))
    return torch.stack(found).mean(dim=0)


# --- what units follow ------------------------------------------------------------------------


def text_features(text: str) -> dict[str, torch.Tensor]:
    """Simple features of each character of a text, by name: ``(num_steps,)`` each.

    ``space`` and ``vowel`` are 0 or 1, ``place in the word`` counts the letters since the last
    space, ``place in the text`` all characters.
    """
    places, place = [], 0
    for character in text:
        place = 0 if character == " " else place + 1
        places.append(float(place))
    return {
        "space": torch.tensor([float(c == " ") for c in text]),
        "vowel": torch.tensor([float(c in "aeiou") for c in text]),
        "place in the word": torch.tensor(places),
        "place in the text": torch.arange(float(len(text))),
    }


def correlations(values: torch.Tensor, feature: torch.Tensor) -> torch.Tensor:
    """Pearson's correlation of each column of ``values`` with ``feature``: ``(num_hiddens,)``.

    ``values`` is ``(num_steps, num_hiddens)``, ``feature`` ``(num_steps,)``. A column, or a
    feature, that never changes has correlation 0. Raises ``ValueError`` for unequal lengths.
    """
    if values.shape[0] != feature.shape[0]:
        raise ValueError(
            f"There are {values.shape[0]} rows of values and {feature.shape[0]} of the feature: "
            "take both from the same text."
        )
    values, feature = values.double(), feature.double().to(values.device)
    values, feature = values - values.mean(dim=0), feature - feature.mean()
    scale = values.norm(dim=0) * feature.norm()
    return torch.where(scale > 1e-12, feature @ values / scale.clamp_min(1e-12), 0.0)
