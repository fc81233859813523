"""Right answers in other clothes, for the exercises of notebook 03."""

import numpy as np
import torch
from torch.nn import functional as F

from gru_helpers import gru, gru_step, load_corpus_time_machine


def late_in_few_lines(inputs, state, params):
    """``gru`` itself, read up to one step before."""
    (H,), lines = state, []
    for X in inputs:
        lines.append(torch.addmm(params[-1], H, params[-2]))
        H = gru_step(X, H, params)[-1]
    return torch.vstack(lines), [H]


def late_by_shifting(inputs, state, params):
    logits, last = gru(inputs, state, params)
    first = state[0] @ params[9] + params[10]
    return torch.cat([first, logits])[: len(logits)], last


class Lookup:
    """Embedding, one matrix for the three sums, scores all at once at the end."""

    def __call__(self, inputs, state, params, **options):
        W_x = torch.cat([params[k] for k in (0, 3, 6)], dim=1)
        W_h = torch.cat([params[1], params[4]], dim=1)
        (H,), states = state, []
        for x in F.embedding(inputs, W_x):
            x_z, x_r, x_h = x.chunk(3, dim=1)
            h_z, h_r = (H @ W_h).chunk(2, dim=1)
            Z, R = torch.sigmoid(x_z + h_z + params[2]), torch.sigmoid(h_r + params[5] + x_r)
            H = torch.lerp(torch.tanh(params[8] + x_h + (H * R) @ params[7]), H, Z)
            states.append(H)
        return torch.stack(states).flatten(0, 1) @ params[9] + params[10], H


def lookup_by_selecting(ids, start, p):
    """Three look-ups before the loop, for all steps at once."""
    H, scores = start[0], []
    all_z, all_r, all_h = (p[k].index_select(0, ids.flatten()) for k in (0, 3, 6))
    for t in range(len(ids)):
        rows = slice(t * ids.shape[1], (t + 1) * ids.shape[1])
        Z = (all_z[rows] + H @ p[1] + p[2]).sigmoid()
        R = (all_r[rows] + H @ p[4] + p[5]).sigmoid()
        H = H * Z + (all_h[rows] + (R * H) @ p[7] + p[8]).tanh() * (1 - Z)
        scores += [H @ p[9] + p[10]]
    return torch.cat(scores), (H,)


def lookup_in_float32(inputs, state, params):
    """It makes a zero of the default type and refuses to write float64 into it."""
    logits = torch.zeros(len(inputs), inputs.shape[1], 5)
    for t, X in enumerate(inputs):
        one_hot = torch.eye(5)[X]
        step, state = gru(one_hot[None], state, params)
        logits = logits + F.pad(step[None], (0, 0, 0, 0, t, len(inputs) - 1 - t))
    return logits.reshape(-1, 5), state


def counted_characters(join_with):
    return len(load_corpus_time_machine(-1, join_with=join_with)[0])


def words(join_with):
    ids, vocab, _ = load_corpus_time_machine(join_with=join_with)
    return set("".join(vocab.to_tokens(ids)).split(" "))


def shifted_in_three_axes(logits, batch_size, b_q):
    steps = logits.reshape(-1, batch_size, logits.shape[-1])
    return torch.cat([b_q.expand(1, batch_size, -1), steps[:-1]]).flatten(0, 1)


def shifted_in_numpy(logits, batch_size, b_q):
    late = np.roll(logits.numpy(), batch_size, axis=0)
    late[:batch_size] = b_q
    return late


def draw_weights(logits, temperature):
    """By powers of the probabilities."""
    chances = torch.softmax(logits, dim=0) ** (1 / temperature)
    return chances / chances.sum()


def draw_weights_without_overflow(logits, temperature):
    scaled = logits.numpy() / temperature
    exps = np.exp(scaled - scaled.max())
    return exps / exps.sum()


X, Y = torch.zeros(2, 16, 20, dtype=torch.int64)
IN_PARTS = {
    "the minibatch's X": X,
    "labels": Y.T.reshape(-1),
    "inputs": F.one_hot(X.T, 28),
    "X inside the loop": F.one_hot(X.T, 28)[0],
    "Z": torch.zeros(16, 100),
    "Y inside the loop": [16, 28],
    "logits": torch.Size((320, 28)),
}
SEVEN = [(16, 20), (20, 16, 28), (16, 28), (16, 100), (16, 28), (320, 28), (320,)]

UNUSUAL = {
    "03.1": [
        IN_PARTS,
        [(16, 20), (20, 16, 28), (16, 28), (16, 100), (16, 28), (320, 28), 320],
        [torch.tensor(shape) for shape in SEVEN],
        [np.array(shape) for shape in SEVEN],
        ([16, 20], [20, 16, 28], [16, 28], [16, 100], [16, 28], [20 * 16, 28], [20 * 16]),
    ],
    "03.2a": [late_in_few_lines, late_by_shifting],
    "03.2b": [
        shifted_in_three_axes,
        shifted_in_numpy,
        lambda logits, n, b: torch.cat([torch.stack([b] * n), logits[: len(logits) - n]]),
        lambda logits, n, b: list(torch.cat([b.repeat(n, 1), logits])[:-n]),
    ],
    "03.3a": [1118.0, torch.tensor(1118), np.int64(1120 - 2)],
    "03.3b": [16.7, torch.tensor(18.9), np.float32(17.2)],
    "03.4": [Lookup(), lookup_by_selecting, lookup_in_float32],
    "03.5a": [counted_characters(" ") - counted_characters("")],
    "03.5b": [
        len(words("") - words(" ")),
        np.setdiff1d(list(words("")), list(words(" "))).size,
    ],
    "03.6a": [
        draw_weights,
        draw_weights_without_overflow,
        lambda logits, t: (logits / t - torch.logsumexp(logits / t, dim=0)).exp(),
        lambda logits, t: F.softmax(logits[None] / t, dim=1),
        lambda logits, t: torch.softmax(logits / t, dim=1),
        lambda logits, t: torch.softmax(logits[0] / t, dim=0),
        lambda logits, t: F.softmax(logits.div(t), dim=0).float().numpy(),
        lambda logits, t: [v / 1 for v in torch.softmax(logits / t, -1).tolist()],
    ],
    "03.6b": [[1, 28], {"very high": 28, "near 0": 1}, torch.tensor([1.003, 27.998])],
}
