"""Training, measuring and sampling a character-level language model.

Perplexity is ``exp`` of the mean cross-entropy per token: 1 for a model that always knows the next
character, ``vocab_size`` for one that finds all characters equally likely.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.types import Device

from ._files import write_whole
from ._validate import (
    check_count,
    check_model,
    check_scored,
    check_temperature,
    check_training,
    check_vocab,
)
from .dataset import Minibatch, Vocab, encode_text
from .models import State
from .plotting import TrainingView, perplexity_in_words, plot_history

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# --- notebook 04 --------------------------------------------------------------------------------


def grad_clipping(model_or_params: nn.Module | Iterable[Tensor], theta: float) -> float:
    """Scale all gradients together so that their joint L2 norm is at most ``theta``.

    Returns the norm before scaling, 0 where there is no gradient. Source: Pascanu et al. 2013,
    arXiv:1211.5063, algorithm 1. PyTorch has it as ``torch.nn.utils.clip_grad_norm_``.
    """
    params = model_or_params
    if isinstance(params, nn.Module):
        params = params.parameters()
    grads = [param.grad for param in params if param.grad is not None]
    if not grads:
        return 0.0
    norm = torch.sqrt(sum((grad**2).sum() for grad in grads))  # type: ignore[arg-type]
    if norm > theta:
        for grad in grads:
            grad.mul_(theta / norm)
    return float(norm)


def detach_state(state: Sequence[Tensor]) -> State:
    """The same numbers, detached from the graph that produced them."""
    return tuple(s.detach() for s in state)


# --- the record of a run ------------------------------------------------------------------------


class TrainingError(RuntimeError):
    """Training that cannot go on. ``history`` holds what was reached before."""

    def __init__(self, message: str, history: History):
        """Keep the history beside the message."""
        super().__init__(message)
        self.history = history


@dataclass
class History:
    """What happened in a training run, one entry an epoch.

    ``perplexity`` is the average over the epoch while the weights moved; ``max_grad_norm`` the
    largest norm of the gradient in the epoch, before clipping; ``heldout`` pairs an epoch with the
    perplexity on held-out text, ``samples`` an epoch with generated text. ``seconds`` and
    ``tokens_per_second`` count the training steps only, not the measuring. ``stop_reason`` says
    why the run ended.
    """

    label: str = ""
    device: str = ""
    perplexity: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)
    max_grad_norm: list[float] = field(default_factory=list)
    heldout: list[tuple[int, float]] = field(default_factory=list)
    samples: list[tuple[int, str]] = field(default_factory=list)
    stop_reason: str = ""

    @property
    def epochs(self) -> int:
        """The number of epochs that were finished."""
        return len(self.perplexity)

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped the run; what it had reached is here."""
        return self.stop_reason.startswith("interrupted")

    def median_tokens_per_second(self, warm_up: int = 2) -> float:
        """The median over the epochs after ``warm_up``: robust, where a last epoch is not."""
        speeds = self.tokens_per_second[warm_up:] or self.tokens_per_second
        return statistics.median(speeds) if speeds else math.nan

    def epoch_of(self, perplexity: float) -> int | None:
        """The first epoch (from 1) whose perplexity is at most ``perplexity``, or ``None``."""
        return next((i for i, p in enumerate(self.perplexity, 1) if p <= perplexity), None)

    def plot(self) -> Figure:
        """The training curve as a matplotlib ``Figure`` (see ``plotting.plot_history``)."""
        return plot_history([self])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the run as JSON, which ``History.load`` reads, or nothing and raise ``OSError``."""
        return write_whole(path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Read a run that ``save`` wrote. Raises ``ValueError`` if it is something else."""
        try:
            history = cls(**json.loads(Path(path).read_text(encoding="utf-8")))
            history.heldout = [(epoch, value) for epoch, value in history.heldout]
            history.samples = [(epoch, text) for epoch, text in history.samples]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a saved History: {error}") from None
        return history

    def __repr__(self) -> str:
        """One line: epochs, last perplexities, why it stopped."""
        if not self.epochs:
            return f"History: no epoch finished; {self.stop_reason or 'not started'}"
        heldout = f", held-out {self.heldout[-1][1]:.2f}" if self.heldout else ""
        return (
            f"History: {self.epochs} epochs, {perplexity_in_words(self.perplexity[-1])}{heldout}; "
            f"{self.stop_reason or 'running'}"
        )


class UnfinishedError(RuntimeError):
    """A run was interrupted that is needed whole. A notebook shows the sentence, no traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows."""
        return [f"{type(self).__name__}: {self}"]


class Run(Protocol):
    """What ``require_finished`` asks of a run: ``History``, or the record of another loop."""

    label: str
    stop_reason: str

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped the run."""


def require_finished(*runs: Run) -> None:
    """Raise ``UnfinishedError`` if one of the runs was interrupted."""
    for run in runs:
        if run.interrupted:
            name = f"The run {run.label!r}" if run.label else "A run"
            raise UnfinishedError(
                f"{name} was {run.stop_reason} and is needed whole here: run the cell that trains "
                "it again."
            )


# --- measuring and generating -------------------------------------------------------------------


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; training mode is restored afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def _mean_loss(loss_sum: float, num_tokens: int) -> float:
    if num_tokens == 0:
        raise ValueError(
            "The data gave no minibatch: an iterator is used up after one pass, so give a "
            "SeqDataLoader, or a list of minibatches."
        )
    return loss_sum / num_tokens


def _perplexity(mean_loss: float) -> float:
    """exp(mean_loss), infinite where that overflows."""
    return math.inf if mean_loss >= 700 else math.exp(mean_loss)


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _minibatch_logits(
    model: nn.Module, data_iter: Iterable[Minibatch], device: Device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits ``(num_steps * batch_size, vocab_size)`` and labels for each minibatch of a pass."""
    check_model(model, device)
    device, state = device or _device_of(model), None
    with _evaluating(model):
        for X, Y in data_iter:
            if getattr(data_iter, "use_random_iter", False):
                state = None
            logits, state = model(X.to(device), state)
            yield logits, Y.T.reshape(-1).to(device)


def evaluate_perplexity(
    model: nn.Module, data_iter: Iterable[Minibatch], device: Device = None
) -> float:
    """The perplexity of ``model`` over one pass, with fixed weights.

    The state starts at zero and is carried from minibatch to minibatch, unless ``data_iter``
    samples at random; pass a loader with a fixed ``offset`` to get the same number each time.
    """
    loss_sum, num_tokens = 0.0, 0
    for logits, labels in _minibatch_logits(model, data_iter, device):
        loss_sum += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        num_tokens += labels.numel()
    return _perplexity(_mean_loss(loss_sum, num_tokens))


@dataclass(frozen=True)
class Scores:
    """How good a model is on a text: its perplexity alone mixes ignorance with over-confidence.

    ``temperature`` is the one number by which all logits are divided to be neither too sure nor too
    timid, fitted on another text; ``rescaled`` the perplexity after that. Both are nan where there
    was no text to fit it on. ``hit_rate`` is the share of labels that the model finds likeliest.
    """

    perplexity: float
    temperature: float
    rescaled: float
    hit_rate: float

    @classmethod
    def of(
        cls, logits: Tensor, labels: Tensor, tuning: tuple[Tensor, Tensor] | None = None
    ) -> Scores:
        """Of logits (or log-probabilities) ``(n, vocab_size)`` and the n ids that came.

        ``tuning``, logits and labels of another text, are all that the temperature is fitted on.
        Raises ``ValueError`` for shapes that do not fit and for logits that are not finite.
        """
        check_scored(logits, labels)
        temperature = math.nan if tuning is None else fit_temperature(*tuning)
        right = logits.argmax(dim=1) == labels
        return cls(
            perplexity=_perplexity(_cross_entropy(logits, labels)),
            temperature=temperature,
            rescaled=_perplexity(_cross_entropy(logits, labels, temperature)),
            hit_rate=right.double().mean().item(),
        )


def _cross_entropy(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> float:
    return nn.functional.cross_entropy(logits.double() / temperature, labels).item()


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T from 0.01 to 100 for which softmax(logits / T) has the least cross-entropy.

    In 1/T the cross-entropy is convex: bisection on the sign of its slope. Source: Guo et al.
    2017, arXiv:1706.04599, section 4.2. Raises as ``Scores.of`` does.
    """
    check_scored(logits, labels)
    logits = logits.double()
    wanted = logits.gather(1, labels[:, None]).mean()
    low, high = -math.log(100), math.log(100)
    for _ in range(50):
        log_T = (low + high) / 2
        expected = (torch.softmax(logits * math.exp(-log_T), dim=1) * logits).sum(dim=1).mean()
        if expected == wanted:
            break
        low, high = (log_T, high) if expected > wanted else (low, log_T)
    return math.exp(log_T)


def score(
    model: nn.Module,
    data_iter: Iterable[Minibatch],
    device: Device = None,
    tuning_iter: Iterable[Minibatch] | None = None,
) -> Scores:
    """The ``Scores`` of ``model`` over one pass, its temperature fitted on ``tuning_iter`` alone.

    The state is carried as in ``evaluate_perplexity``, which gives the same perplexity. Raises
    ``ValueError`` where there is no minibatch, and for a model whose training went wrong.
    """

    def read(data: Iterable[Minibatch]) -> tuple[Tensor, Tensor]:
        pairs = list(_minibatch_logits(model, data, device))
        _mean_loss(0.0, len(pairs))
        logits, labels = zip(*pairs, strict=True)
        return torch.cat(logits), torch.cat(labels)

    return Scores.of(*read(data_iter), None if tuning_iter is None else read(tuning_iter))


def predict(
    prefix: str,
    num_preds: int,
    model: nn.Module,
    vocab: Vocab,
    device: Device = None,
    temperature: float = 0.0,
    seed: int | None = None,
) -> str:
    """``prefix`` and the ``num_preds`` characters with which ``model`` continues it.

    The prefix is normalized as the corpus is. ``temperature`` 0 takes the likeliest character
    each time (greedy); above 0 characters are drawn from softmax(logits / temperature), with
    ``seed`` from a generator of their own. Raises ``ValueError`` for a prefix without letters,
    for characters that the vocabulary lacks, for a negative ``num_preds`` or ``temperature``, and
    for a model whose training went wrong.
    """
    check_model(model, device)
    device = device or _device_of(model)
    check_count("num_preds", num_preds)
    check_temperature(temperature)
    check_vocab(vocab, model)
    ids = encode_text(prefix, vocab, "prefix")
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    with _evaluating(model):
        state = None
        for idx in ids[:-1]:
            _, state = model(torch.tensor([[idx]], device=device), state)
        for _ in range(num_preds):
            logits, state = model(torch.tensor([[ids[-1]]], device=device), state)
            if not bool((logits < math.inf).all()):  # not a number is not less, either
                raise ValueError(
                    "The model's scores are not finite numbers: its training went wrong, so load "
                    "or train another."
                )
            if temperature == 0:
                ids.append(int(logits[0].argmax()))
            else:
                probabilities = torch.softmax(logits[0].cpu().double() / temperature, dim=0)
                ids.append(int(torch.multinomial(probabilities, 1, generator=generator)))
    return "".join(vocab.to_tokens(ids))


# --- training -----------------------------------------------------------------------------------


def train(
    model: nn.Module,
    train_iter: Iterable[Minibatch],
    vocab: Vocab,
    num_epochs: int,
    lr: float,
    device: Device = None,
    use_random_iter: bool | None = None,
    *,
    optimizer: Callable[..., Optimizer] | Optimizer = torch.optim.SGD,
    lr_scheduler: Callable[[Optimizer], LRScheduler] | LRScheduler | None = None,
    clip: float | None = 1.0,
    heldout_iter: Iterable[Minibatch] | None = None,
    heldout_every: int | None = None,
    target_perplexity: float | None = None,
    prefix: str | None = "time traveller",
    sample_every: int | None = None,
    label: str = "",
    progress: bool = True,
    plot: bool | None = None,
) -> History:
    """Train ``model`` on ``train_iter`` and return the ``History`` of the run.

    The classic job is the default: stochastic gradient descent with learning rate ``lr``, gradient
    norm clipped at ``clip`` (``None``: not clipped), the state carried from minibatch to minibatch
    and detached, or started anew for each where ``use_random_iter`` (default: as the loader says).

    ``optimizer`` is a ``torch.optim`` class, or any callable that is given the parameters and
    ``lr=``, or an optimizer that exists (``lr`` is then its own). ``lr_scheduler``, a scheduler or
    a callable that is given the optimizer, takes a step after each *minibatch*; ``len(train_iter)``
    minibatches make an epoch. With ``heldout_iter`` the held-out perplexity is measured every
    ``heldout_every`` epochs (default: 20 times a run) and at the end; every ``sample_every`` epochs
    (default: the last only) ``model`` continues ``prefix`` (``None``: no samples). Training stops
    early when an epoch's perplexity is at most ``target_perplexity``. ``progress`` shows a bar;
    ``plot`` draws the curve while it grows (default: in a notebook). The model is left in training
    mode.

    Interrupting the kernel, or Ctrl-C, returns what was reached, measured once more. Raises
    ``TrainingError``, naming epoch and learning rate, when the perplexity is no longer finite, and
    ``ValueError`` for arguments that make no sense. The same seed on the same machine gives the
    same losses to the bit.
    """
    check_model(model, device)
    device = torch.device(device) if device is not None else _device_of(model)
    check_training(num_epochs, lr, clip)
    check_vocab(vocab, model)
    if prefix is not None:
        encode_text(prefix, vocab, "prefix")
    if use_random_iter is None:
        use_random_iter = getattr(train_iter, "use_random_iter", False)
    heldout_every = heldout_every or max(1, num_epochs // 20)
    history = History(label=label, device=str(device))
    with Interrupts() as interrupts:
        model.to(device)
        optimizer, lr_scheduler = _optimizer_and_scheduler(model, lr, optimizer, lr_scheduler)
        view = TrainingView(history, num_epochs, progress, plot)
        try:
            for epoch in range(1, num_epochs + 1):
                started = time.perf_counter()
                with interrupts.allowed():
                    mean_loss, num_tokens, max_norm = _train_epoch(
                        model, train_iter, optimizer, lr_scheduler, device, clip, use_random_iter
                    )
                seconds = time.perf_counter() - started
                if not math.isfinite(_perplexity(mean_loss)):
                    raise TrainingError(_not_finite(mean_loss, epoch, optimizer, clip), history)
                history.perplexity.append(_perplexity(mean_loss))
                history.seconds.append(seconds)
                history.tokens_per_second.append(num_tokens / seconds)
                history.max_grad_norm.append(max_norm)
                reached = target_perplexity and history.perplexity[-1] <= target_perplexity
                last = reached or epoch == num_epochs
                sampling = last or (sample_every and epoch % sample_every == 0)
                with interrupts.allowed():
                    if heldout_iter is not None and (last or epoch % heldout_every == 0):
                        _measure(history, model, heldout_iter)
                    if prefix is not None and sampling:
                        _sample(history, model, prefix, vocab)
                if reached:
                    reason = f"reached perplexity {target_perplexity:g} at epoch {epoch}"
                    history.stop_reason = reason
                    break
                view.update()
            else:
                history.stop_reason = f"ran all {num_epochs} epochs"
        except KeyboardInterrupt:
            history.stop_reason = f"interrupted in epoch {epoch}"
            with contextlib.suppress(KeyboardInterrupt), interrupts.allowed():
                if heldout_iter is not None:
                    _measure(history, model, heldout_iter)
                if prefix is not None:
                    _sample(history, model, prefix, vocab)
        except TrainingError:
            history.stop_reason = f"the perplexity stopped being finite in epoch {epoch}"
            raise
        finally:
            view.close()
    return history


class Interrupts:
    """Ctrl-C raises ``KeyboardInterrupt`` while it is ``allowed``, and waits until then elsewhere.

    It waits for imports above all: one that is cut short may leave a module of PyTorch that can
    never be imported again in this process. What still waits at the end is dropped: the run is
    over. Where Ctrl-C means something else, it is left alone.
    """

    def __init__(self) -> None:
        """Nothing has arrived."""
        self.waiting = self.is_allowed = self.installed = False

    def __enter__(self) -> Interrupts:
        """Take the place of Python's handler; only the main thread receives signals."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._arrived)
            self.installed = True
        return self

    def __exit__(self, *error: object) -> None:
        """Put Python's handler back."""
        if self.installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _arrived(self, *signal_and_frame: object) -> None:
        self.waiting = not self.is_allowed
        if self.is_allowed:
            self.is_allowed = False  # before the exception is on its way: a second one waits
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Raise what waits, and what arrives meanwhile."""
        self.is_allowed = True
        try:
            if self.waiting:
                self._arrived()
            yield
        finally:
            self.is_allowed = False


def _measure(history: History, model: nn.Module, heldout_iter: Iterable[Minibatch]) -> None:
    """Add the held-out perplexity after the last finished epoch, if it is not there yet."""
    if history.epochs and history.epochs not in dict(history.heldout):
        history.heldout.append((history.epochs, evaluate_perplexity(model, heldout_iter)))


def _sample(history: History, model: nn.Module, prefix: str, vocab: Vocab) -> None:
    """Add what the model writes after the last finished epoch, if it is not there yet."""
    if history.epochs and history.epochs not in dict(history.samples):
        history.samples.append((history.epochs, predict(prefix, 50, model, vocab)))


def _optimizer_and_scheduler(
    model: nn.Module,
    lr: float,
    optimizer: Callable[..., Optimizer] | Optimizer,
    lr_scheduler: Callable[[Optimizer], LRScheduler] | LRScheduler | None,
) -> tuple[Optimizer, LRScheduler | None]:
    """Make what is not made yet; refuse what belongs to another model or another optimizer."""
    params = [p for p in model.parameters() if p.requires_grad]
    if not isinstance(optimizer, Optimizer):
        optimizer = optimizer(params, lr=lr)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not all(id(p) in held for p in params):
        raise ValueError(
            "The optimizer must hold all parameters of the model that require gradients: make it "
            "from model.parameters(), after they were last assigned."
        )
    if lr_scheduler is not None and not isinstance(lr_scheduler, LRScheduler):
        lr_scheduler = lr_scheduler(optimizer)
    if lr_scheduler is not None and lr_scheduler.optimizer is not optimizer:
        raise ValueError("The lr_scheduler must belong to the optimizer that train is given.")
    return optimizer, lr_scheduler


def _train_epoch(
    model: nn.Module,
    train_iter: Iterable[Minibatch],
    optimizer: Optimizer,
    lr_scheduler: LRScheduler | None,
    device: torch.device,
    clip: float | None,
    use_random_iter: bool,
) -> tuple[float, int, float]:
    """One pass over ``train_iter``: mean loss per token, number of tokens, largest grad norm."""
    model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    state, loss_sum, num_tokens, max_norm = None, torch.zeros((), device=device), 0, 0.0
    for X, Y in train_iter:
        state = None if state is None or use_random_iter else detach_state(state)
        logits, state = model(X.to(device), state)
        labels = Y.T.reshape(-1).to(device)
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        max_norm = max(max_norm, grad_clipping(params, math.inf if clip is None else clip))
        optimizer.step()
        if lr_scheduler is not None:
            lr_scheduler.step()
        loss_sum += loss.detach() * labels.numel()
        num_tokens += labels.numel()
    return _mean_loss(loss_sum.item(), num_tokens), num_tokens, max_norm


def _not_finite(mean_loss: float, epoch: int, optimizer: Optimizer, clip: float | None) -> str:
    lr = float(optimizer.param_groups[0]["lr"])
    overflow = " (perplexity inf)" if math.isfinite(mean_loss) else ""
    clipping = "switch clipping on (clip=1)" if clip is None else f"a clip below {clip:g}"
    return (
        f"The loss became {mean_loss:g}{overflow} in epoch {epoch} with lr={lr:g}: try a smaller "
        f"learning rate (lr={lr / 10:g}) or {clipping}, and re-create the model; its weights are "
        "unusable."
    )
