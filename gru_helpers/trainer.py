"""Training, measuring and sampling a character-level language model.

Perplexity is ``exp`` of the mean cross-entropy per token: 1 for a model that always knows the next
character, ``vocab_size`` for one that finds all characters equally likely.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from .dataset import Vocab, text_ids

# the bar and the live curve are redrawn this often, and the curve never takes more than a twentieth
# of the time; a bar that moves ten times a second overflows the queue of a client that reads late
REDRAW_SECONDS, REDRAW_SHARE = 0.5, 0.05


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
    perplexity on held-out text, ``samples`` an epoch with generated text.
    ``seconds`` and ``tokens_per_second`` count the training steps only, not the measuring.
    """

    label: str = ""
    device: str = ""
    perplexity: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)
    max_grad_norm: list[float] = field(default_factory=list)
    heldout: list[tuple[int, float]] = field(default_factory=list)
    samples: list[tuple[int, str]] = field(default_factory=list)
    stopped: str = ""

    @property
    def epochs(self) -> int:
        """The number of epochs that were finished."""
        return len(self.perplexity)

    def median_tokens_per_second(self, warm_up: int = 2) -> float:
        """The median over the epochs after ``warm_up``: robust, where a last epoch is not."""
        speeds = sorted(self.tokens_per_second[warm_up:] or self.tokens_per_second)
        if not speeds:
            return math.nan
        middle = len(speeds) // 2
        return speeds[middle] if len(speeds) % 2 else sum(speeds[middle - 1 : middle + 1]) / 2

    def epoch_of(self, perplexity: float) -> int | None:
        """The first epoch (from 1) whose perplexity is at most ``perplexity``, or ``None``."""
        return next((i for i, p in enumerate(self.perplexity, 1) if p <= perplexity), None)

    def plot(self):
        """The training curve as a matplotlib ``Figure`` (see ``plotting.plot_history``)."""
        from .plotting import plot_history

        return plot_history([self])

    def save(self, path) -> Path:
        """Write the run as JSON; ``History.load`` reads it."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path) -> History:
        """Read a run that ``save`` wrote. Raises ``ValueError`` if it is something else."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            history = cls(**content)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a saved History: {error}") from None
        history.heldout = [tuple(pair) for pair in history.heldout]
        history.samples = [tuple(pair) for pair in history.samples]
        return history

    def __repr__(self) -> str:
        """One line: epochs, last perplexities, why it stopped."""
        if not self.epochs:
            return f"History: no epoch finished; {self.stopped or 'not started'}"
        heldout = f", held-out {self.heldout[-1][1]:.2f}" if self.heldout else ""
        return (
            f"History: {self.epochs} epochs, perplexity {self.perplexity[-1]:.2f}{heldout}; "
            f"{self.stopped or 'running'}"
        )


# --- as taught in notebook 04 ----------------------------------------------------------------


def grad_clipping(params, theta):
    """Scale all gradients together so that their joint L2 norm is at most ``theta``.

    Returns the norm before scaling. Tensors without a gradient are passed over. Source: Pascanu
    et al. 2013, arXiv:1211.5063, algorithm 1.
    """
    grads = [param.grad for param in params if param.grad is not None]
    norm = torch.sqrt(sum((grad**2).sum() for grad in grads))
    if norm > theta:
        for grad in grads:
            grad.mul_(theta / norm)
    return float(norm)


# ----------------------------------------------------------------------------------------------


def detach_state(state):
    """The same numbers, cut loose from the graph that made them."""
    return tuple(s.detach() for s in state)


@contextlib.contextmanager
def _only_looking(model):
    """Without gradients and without dropout, for as long as it lasts."""
    training = getattr(model, "training", False)
    if training:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if training:
            model.train()


def _mean(total: float, num_tokens: int) -> float:
    """``total / num_tokens``, refusing data that held nothing."""
    if num_tokens == 0:
        raise ValueError(
            "The data gave no minibatch: an iterator is used up after one pass, so give a "
            "SeqDataLoader, or a list of minibatches."
        )
    return total / num_tokens


def evaluate_perplexity(model, data_iter, device=None) -> float:
    """The perplexity of ``model`` over one pass, with fixed weights.

    The state starts at zero and is carried from minibatch to minibatch, unless ``data_iter``
    samples at random; pass a loader with a fixed ``offset`` to get the same number each time.
    """
    device = device or _device_of(model)
    loss_sum, num_tokens, state = 0.0, 0, None
    with _only_looking(model):
        for X, Y in data_iter:
            if state is None or getattr(data_iter, "use_random_iter", False):
                state = model.begin_state(X.shape[0], device)
            logits, state = model(X.to(device), state)
            labels = Y.T.reshape(-1).to(device)
            loss_sum += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            num_tokens += labels.numel()
    return _perplexity(_mean(loss_sum, num_tokens))


def predict(
    prefix: str,
    num_preds: int,
    model,
    vocab: Vocab,
    device=None,
    temperature: float = 0.0,
    seed: int | None = None,
) -> str:
    """``prefix`` and the ``num_preds`` characters with which ``model`` goes on.

    The prefix is normalised as the corpus is. ``temperature`` 0 takes the likeliest character
    each time (greedy); above 0 characters are drawn from softmax(logits / temperature), with
    ``seed`` from a generator of their own. Raises ``ValueError`` for an empty prefix, for
    characters that the vocabulary lacks, and for a negative ``num_preds`` or ``temperature``.
    """
    device = device or _device_of(model)
    if not isinstance(num_preds, int) or num_preds < 0:
        raise ValueError(f"num_preds={num_preds!r} is not a length: give 0 or more.")
    if not temperature >= 0:
        raise ValueError(f"temperature={temperature!r} is negative: give 0 (greedy) or more.")
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"The vocabulary has {len(vocab)} tokens and the model {model.vocab_size}: use the "
            "vocabulary that the model was trained with."
        )
    ids = text_ids(prefix, vocab, "prefix")
    generator = None
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
    with _only_looking(model):
        state = model.begin_state(1, device)
        for idx in ids[:-1]:
            _, state = model(torch.tensor([[idx]], device=device), state)
        for _ in range(num_preds):
            logits, state = model(torch.tensor([[ids[-1]]], device=device), state)
            if temperature == 0:
                ids.append(int(logits[0].argmax()))
            else:
                probabilities = torch.softmax(logits[0].double().cpu() / temperature, dim=0)
                ids.append(int(torch.multinomial(probabilities, 1, generator=generator)))
    return "".join(vocab.to_tokens(ids))


def train(
    model,
    train_iter,
    vocab: Vocab,
    num_epochs: int,
    lr: float,
    device=None,
    use_random_iter: bool | None = None,
    *,
    optimizer=torch.optim.SGD,
    clip: float | None = 1.0,
    heldout_iter=None,
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
    ``lr=``. With ``heldout_iter`` the held-out perplexity is measured every ``heldout_every``
    epochs (default: 20 times a run) and at the end; every ``sample_every`` epochs (default: the
    last only) ``model`` goes on from ``prefix`` (``None``: no samples). Training stops early when
    an epoch's perplexity is at most ``target_perplexity``. ``progress`` shows a bar; ``plot``
    draws the curve while it grows (default: in a notebook).

    Interrupting the kernel, or Ctrl-C, returns what was reached. Raises ``TrainingError``, naming
    epoch and learning rate, when the loss is no longer finite, and ``ValueError`` for arguments
    that make no sense. The same seed on the same machine gives the same losses to the bit.
    """
    device = torch.device(device) if device is not None else _device_of(model)
    _check_training(model, vocab, num_epochs, lr, clip)
    if prefix is not None:
        text_ids(prefix, vocab, "prefix")
    if use_random_iter is None:
        use_random_iter = getattr(train_iter, "use_random_iter", False)
    if isinstance(model, nn.Module):
        model.to(device)
        model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    updater = optimizer(params, lr=lr)
    heldout_every = heldout_every or max(1, num_epochs // 20)
    history = History(label=label, device=str(device))
    view = _View(history, num_epochs, progress, plot)
    try:
        for epoch in range(1, num_epochs + 1):
            started = time.perf_counter()
            mean_loss, num_tokens, max_norm = _train_epoch(
                model, train_iter, updater, params, device, clip, use_random_iter
            )
            seconds = time.perf_counter() - started
            if not math.isfinite(mean_loss):
                raise TrainingError(_not_finite(mean_loss, epoch, lr, clip), history)
            history.perplexity.append(_perplexity(mean_loss))
            history.seconds.append(seconds)
            history.tokens_per_second.append(num_tokens / seconds)
            history.max_grad_norm.append(max_norm)
            reached = target_perplexity and history.perplexity[-1] <= target_perplexity
            last = reached or epoch == num_epochs
            if heldout_iter is not None and (last or epoch % heldout_every == 0):
                history.heldout.append((epoch, evaluate_perplexity(model, heldout_iter, device)))
            sampling = last or (sample_every and epoch % sample_every == 0)
            if sampling and prefix is not None:
                history.samples.append((epoch, predict(prefix, 50, model, vocab, device)))
            if reached:
                history.stopped = f"reached perplexity {target_perplexity:g} at epoch {epoch}"
                break
            view.update()
        else:
            history.stopped = f"ran all {num_epochs} epochs"
    except KeyboardInterrupt:
        history.stopped = f"interrupted in epoch {history.epochs + 1}"
    except TrainingError:
        history.stopped = f"the loss stopped being finite in epoch {history.epochs + 1}"
        raise
    finally:
        view.close()
    return history


def _train_epoch(model, train_iter, updater, params, device, clip, use_random_iter):
    """One pass over ``train_iter``: mean loss per token, number of tokens, largest grad norm."""
    state, loss_sum, num_tokens, max_norm = None, torch.zeros((), device=device), 0, 0.0
    for X, Y in train_iter:
        if state is None or use_random_iter:
            state = model.begin_state(X.shape[0], device)
        else:
            state = detach_state(state)
        logits, state = model(X.to(device), state)
        labels = Y.T.reshape(-1).to(device)
        loss = nn.functional.cross_entropy(logits, labels)
        updater.zero_grad()
        loss.backward()
        max_norm = max(max_norm, grad_clipping(params, math.inf if clip is None else clip))
        updater.step()
        loss_sum += loss.detach() * labels.numel()
        num_tokens += labels.numel()
    return _mean(loss_sum.item(), num_tokens), num_tokens, max_norm


def _perplexity(mean_loss: float) -> float:
    """exp(mean_loss), infinite where that overflows."""
    return math.exp(mean_loss) if mean_loss < 700 else math.inf


def _device_of(model) -> torch.device:
    """Where the model's parameters are."""
    return next(iter(model.parameters())).device


def _check_training(model, vocab, num_epochs, lr, clip) -> None:
    """Refuse arguments with which training cannot start."""
    if isinstance(num_epochs, bool) or not isinstance(num_epochs, int) or num_epochs < 1:
        raise ValueError(f"num_epochs={num_epochs!r} is no number of epochs: give 1 or more.")
    if not (isinstance(lr, (int, float)) and 0 < lr < math.inf):
        raise ValueError(f"lr={lr!r} is no learning rate: give a number above 0.")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip={clip!r} is no bound: give a number above 0, or None.")
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"The vocabulary has {len(vocab)} tokens and the model {model.vocab_size}: make the "
            "model with len(vocab)."
        )


def _not_finite(mean_loss: float, epoch: int, lr: float, clip: float | None) -> str:
    """What to say when the loss is no longer a finite number."""
    clipping = "switch clipping on (clip=1)" if clip is None else f"a clip below {clip:g}"
    return (
        f"The loss became {mean_loss} in epoch {epoch} with lr={lr:g}: try a smaller learning rate "
        f"(lr={lr / 10:g}) or {clipping}, and make the model anew, since its weights are spoilt."
    )


class _View:
    """The progress bar and the live curve of one run; draws nothing where nobody looks."""

    def __init__(self, history: History, num_epochs: int, progress: bool, plot: bool | None):
        self.history, self.num_epochs = history, num_epochs
        self.next_drawing = 0.0
        in_notebook = _in_notebook()
        self.picture = None
        if in_notebook if plot is None else plot:
            from .plotting import LivePicture

            self.picture = LivePicture(f"Training curve of {history.label or 'this run'}")
        self.bar = None
        if progress:
            if in_notebook:
                from tqdm.auto import tqdm
            else:
                from tqdm import tqdm
            self.bar = tqdm(
                total=num_epochs,
                unit="epoch",
                desc=history.label or None,
                mininterval=REDRAW_SECONDS,
            )

    def update(self) -> None:
        """Advance the bar; redraw the curve if the last drawing is old enough."""
        if self.bar is not None:
            self.bar.set_postfix_str(f"perplexity {self.history.perplexity[-1]:.2f}", refresh=False)
            self.bar.update(1)
        started = time.monotonic()
        if self.picture is not None and started > self.next_drawing:
            self._draw()
            ended = time.monotonic()
            self.next_drawing = ended + max(REDRAW_SECONDS, (ended - started) / REDRAW_SHARE)

    def close(self) -> None:
        """Show the last state of both."""
        if self.bar is not None:
            if self.history.perplexity:
                self.bar.set_postfix_str(f"perplexity {self.history.perplexity[-1]:.2f}")
            self.bar.update(self.history.epochs - self.bar.n)
            self.bar.close()
        if self.picture is not None and self.history.epochs:
            self._draw()

    def _draw(self) -> None:
        from .plotting import plot_history

        self.picture.show(plot_history([self.history], num_epochs=self.num_epochs))


def _in_notebook() -> bool:
    """Whether the code runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")
