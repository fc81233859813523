"""Right answers in other clothes, for the exercises of notebook 05."""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from gru_helpers import gru_switched, params_to_rnn_model


def gap_with_the_library(inputs, H, params):
    """By way of the package's nn.GRU, and a loop of its own."""
    with torch.no_grad():
        model = params_to_rnn_model([*params, torch.zeros(H.shape[1], dtype=H.dtype)])
        theirs, _ = model(inputs.argmax(dim=-1).T, (H[None],))
        ours = gru_switched(inputs, (H,), params)[0]
    return float(np.abs((ours - theirs).numpy()).max())


def gap_in_float32(inputs, H, params):
    """A bare nn.GRU of the default type, with the weights copied by hand."""
    layer, d = nn.GRU(inputs.shape[2], H.shape[1]), H.shape[1]
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.cat([W_xr, W_xz, W_xh], dim=1).T)
        layer.weight_hh_l0.copy_(torch.cat([W_hr, W_hz, W_hh], dim=1).T)
        layer.bias_ih_l0.copy_(torch.cat([b_r, b_z, b_h]))
        layer.bias_hh_l0.zero_()
        states, _ = layer(inputs, H[None])
    ours, _ = gru_switched(inputs, (H,), params)
    difference = ours - (states.reshape(-1, d) @ W_hq + b_q)
    return max(difference.max().item(), -difference.min().item())


def swapped_in_a_copy(tensor):
    half, result = len(tensor) // 3, tensor.clone()
    result[:half], result[half : 2 * half] = tensor[half : 2 * half], tensor[:half]
    return result


def swapped_in_place(tensor):
    size = len(tensor) // 3
    tensor[: 2 * size] = torch.cat([tensor[size : 2 * size], tensor[:size]])
    return tensor


def after_in_one_product(X, state, p):
    """All three products of the state at once, as a library would do it."""
    H, d, outputs = state[0], state[0].shape[1], []
    W = torch.cat([p[1], p[4], p[7]], dim=1)
    for x in X.argmax(dim=-1):  # rows of a table instead of products with one-hot vectors
        a = torch.einsum("bi,ij->bj", H, W)
        z = (p[0][x] + a[:, :d] + p[2]).sigmoid()
        r = (p[3][x] + a[:, d : 2 * d] + p[5]).sigmoid()
        n = torch.tanh(p[6][x] + p[8] + r * (a[:, 2 * d :] + p[11]))
        H = n + z * (H - n)
        outputs.append(F.linear(H, p[9].T, p[10]))
    return torch.stack(outputs).reshape(-1, p[10].numel()), [H]


UNUSUAL = {
    "05.1": [
        lambda W: W.chunk(3)[1].T,
        lambda W: W.T[:, 256:512],
        lambda W: W.reshape(3, 256, 256)[1].mT,
        lambda W: W[256:512].detach().clone().t().contiguous().requires_grad_(True),
        lambda W: np.split(W.numpy(), 3)[1].T,
        lambda W: torch.stack([W[256 + k] for k in range(256)], dim=1),
        lambda W: W.float().split(W.shape[0] // 3)[1].transpose(0, 1),
    ],
    "05.2": [
        {"nn.RNN": 73216, "nn.LSTM": 292864},
        {"rnn": 73216, "lstm": 292864},
        {"nn.RNN(28, 256)": 73216, "nn.LSTM(28, 256)": torch.tensor(292864)},
        {nn.RNN: 73216, nn.LSTM: 292864},
        (219_648 * 4 / 3, 219_648 / 3),
    ],
    "05.3": [
        gap_with_the_library,
        gap_in_float32,
        lambda inputs, H, params: (
            (
                gru_switched(inputs, [H], params)[0]
                - gru_switched(inputs, [H], [*params, 0 * params[8]], reset_after=True)[0]
            )
            .norm(p=float("inf"))
            .reshape(1)
        ),
    ],
    "05.4a": [
        swapped_in_a_copy,
        swapped_in_place,
        lambda tensor: torch.cat(tensor.chunk(3)[1::-1] + tensor.chunk(3)[2:]),
        lambda tensor: tensor.unflatten(0, (3, -1))[[1, 0, 2]].flatten(0, 1),
        lambda tensor: np.concatenate([np.split(tensor.numpy(), 3)[k] for k in (1, 0, 2)]),
        lambda tensor: nn.Parameter(tensor[torch.arange(12).reshape(3, 4)[[1, 0, 2]].flatten()]),
    ],
    "05.4b": [
        1.27,
        1.28,
        1.06,
        1.13,
        1.9,
        27.6,
        torch.tensor(3.55, requires_grad=True),
        13.66 / 3.85,
    ],
    "05.5a": [
        {"by_start": [11, 10, 13, 12], "by_form": [0, -1, 1, 0]},
        {"by_form": [0, -1, 1, 0], "by_start": [13, 12, 15, 14]},
        {"by form": (3, -2, 4, 1), "By_Start": (13, 12, 15, 14)},
        ([[11, 10], [13, 12]], [[0, -1], [1, 0]]),
        np.array([[23, 23, 21, 20], [2, 2, 1, 0]]),
        ([11, 10, 13, 12, 11, 14], (0, -1, 1, 0, -1, 2)),
    ],
    "05.5b": [
        {"all": 27, "none": 37, "input": 32, "output": 30, "biases": 37, "recurrent": 34},
        [41, 41, 37, 35, 36, 30],
        [[41, 41, 37, 35, 36, 30], [41, 41, 36, 34, 34, 29]],
        {
            "all": [30, 29, 30],
            "none": [41, 41, 41],
            "biases": [41, 41, 39],
            "recurrent": [37, 36, 37],
            "input": [35, 34, 36],
            "output": [36, 34, 35],
        },
        np.array([[41, 41], [41, 41], [37, 36], [35, 34], [36, 34], [30, 29]]),
        torch.tensor([111, 109, 100, 96, 92, 82]) / 3,
    ],
    "05.6a": [
        after_in_one_product,
        functools.partial(gru_switched, reset_after=True),
        lambda inputs, state, params: dict(
            zip("ab", gru_switched(inputs, state, params, reset_after=True), strict=True)
        ),
        lambda *given: (
            gru_switched(*given, reset_after=True)[0].float(),
            after_in_one_product(*given)[1],
        ),
        lambda *given: [
            after_in_one_product(*given)[0],
            tuple(H.detach() for H in after_in_one_product(*given)[1]),  # as `train` does
        ],
    ],
    "05.6b": ["b_r, b_z", {"B_Z", "B_R"}],
}
