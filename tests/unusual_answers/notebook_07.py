"""Right answers in other clothes, for the exercises of notebook 07; autograd among them."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from gru_helpers import gru_backward, gru_step_backward
from gru_helpers.checks import notebook_07


def leaf(tensor):
    return tensor.detach().clone().requires_grad_(True)


def reset_by_autograd(dA_h, H_prev, R, W_hh, b_hn):
    """The gradients of the sum of dA_h times what stands inside the tanh."""
    H, R = leaf(H_prev), leaf(R)
    N = H @ W_hh + b_hn
    N.retain_grad()
    (dA_h * (R * N)).sum().backward()
    return N.grad, R.grad, H.grad


def reset_by_numpy(dA_h, H_prev, R, W_hh, b_hn):
    dA_h, H_prev, R, W_hh, b_hn = (t.numpy() for t in (dA_h, H_prev, R, W_hh, b_hn))
    dN = np.multiply(R, dA_h)
    return {"dN": dN, "dR": (H_prev.dot(W_hh) + b_hn) * dA_h, "dH_h": np.dot(W_hh, dN.T).T}


def reset_in_float32(dA_h, H_prev, R, W_hh, b_hn):
    dN = dA_h.float() * R.float()
    return dN, dA_h * torch.addmm(b_hn, H_prev, W_hh), F.linear(dN, W_hh.float())


def terms_by_autograd(dH, H_prev, Z, R, H_tilde, params):
    """One road is opened at a time; what was saved says where gates and candidate stand."""
    W_hz, W_hr, W_hh = params[1], params[4], params[7]
    found = []
    for road in range(4):
        H = leaf(H_prev)
        h, z, c, r = (H if road == k else H_prev for k in range(4))
        Z_now = torch.sigmoid(torch.logit(Z) + (z - H_prev) @ W_hz)
        R_now = torch.sigmoid(torch.logit(R) + (r - H_prev) @ W_hr)
        inside = torch.atanh(H_tilde) + (R_now * c - R * H_prev) @ W_hh
        new = Z_now * h + (1 - Z_now) * torch.tanh(inside)
        found.append(torch.autograd.grad(new, H, dH)[0])
    h, z, c, r = found
    return [h, z, c, r]


def terms_from_the_package(dH, H_prev, Z, R, H_tilde, params):
    dA_z, dA_r, *_, dH_prev = gru_step_backward(dH, H_prev, Z, R, H_tilde, params)
    kept, gate = dH * Z, dA_z @ params[1].T
    reset = torch.einsum("bj,ij->bi", dA_r, params[4])
    return {1: kept, 2: gate, 3: dH_prev - kept - gate - reset, 4: reset}


def terms_by_jacobians(dH, H_prev, Z, R, H_tilde, params):
    """Row by row, with the four matrices of the lesson."""
    _, W_hz, _, _, W_hr, _, _, W_hh, *_ = params
    rows = []
    for d, h, z, r, c in zip(dH, H_prev, Z, R, H_tilde, strict=True):
        C = torch.diag((1 - z) * (1 - c**2)) @ W_hh.T
        J = [torch.diag(z), torch.diag((h - c) * z * (1 - z)) @ W_hz.T, C @ torch.diag(r)]
        J.append(C @ torch.diag(h * r * (1 - r)) @ W_hr.T)
        rows.append(torch.stack([d @ matrix for matrix in J]))
    return torch.stack(rows, dim=1)


def rnn_by_autograd(dH, H, W_hh):
    A = leaf(torch.atanh(H))  # what stands inside the tanh
    (dA,) = torch.autograd.grad(torch.tanh(A), A, dH)
    H_prev = leaf(torch.zeros_like(H))
    return dA, torch.autograd.grad(H_prev @ W_hh, H_prev, dA)[0]


class RNNStepBackward:
    def __call__(self, grad_output, hidden, weight, bias=None):
        inner = grad_output - grad_output * hidden * hidden
        return {"dA": inner.numpy(), "dH_prev": (weight @ inner.T).T}


def sensitivity_by_autograd(x, z, r, w_xh, w_hh):
    x, h = x.clone().requires_grad_(True), torch.zeros((), dtype=x.dtype)
    for x_t, z_t, r_t in zip(x, z, r, strict=True):
        h = z_t * h + (1 - z_t) * torch.tanh(x_t * w_xh + r_t * h * w_hh)
    h.backward()
    return x.grad.abs()


def sensitivity_by_differences(x, z, r, w_xh, w_hh):
    """Plain numbers, and both ways from each input."""

    def last(inputs):
        h = 0.0
        for a, keep, see in zip(inputs, z.tolist(), r.tolist(), strict=True):
            h = keep * h + (1 - keep) * math.tanh(a * w_xh + see * h * w_hh)
        return h

    given, found = x.tolist(), []
    for t in range(len(given)):
        up, down = ([a + s * (k == t) for k, a in enumerate(given)] for s in (1e-4, -1e-4))
        found.append((last(up) - last(down)) / 2e-4)
    return found


def sensitivity_forward(x, z, r, w_xh, w_hh):
    """In float32, and forward: the derivatives by all inputs are carried along."""
    h, by_x = torch.tensor(0.0), torch.zeros(len(x))
    for t in range(len(x)):
        c = torch.tanh(x[t].float() * w_xh + r[t].float() * h * w_hh)
        slope, z_t = 1 - c.square(), z[t].float()
        by_x = (z_t + (1 - z_t) * slope * r[t].float() * w_hh) * by_x
        by_x[t] += (1 - z_t) * slope * w_xh
        h = z_t * h + (1 - z_t) * c
    return by_x


def truncated_by_the_package(doutputs, saved, params, k):
    total, rows = [torch.zeros_like(p) for p in params], len(saved[0][1])
    for t in range(len(saved)):
        window = saved[max(0, t + 1 - k) : t + 1]
        padded = torch.zeros(len(window) * rows, doutputs.shape[1], dtype=doutputs.dtype)
        padded[-rows:] = doutputs[t * rows : (t + 1) * rows]
        grads = gru_backward(padded, torch.zeros_like(saved[0][1]), window, params)[2]
        total = [a + b for a, b in zip(total, grads, strict=True)]
    return total


def truncated_by_autograd(doutputs, saved, params, k):
    """Each loss gets a forward pass of its own, from the state with which its window begins."""
    leaves, loss, dYs = [leaf(p) for p in params], 0, doutputs.chunk(len(saved))
    for t, dY in enumerate(dYs):
        first = max(t - k + 1, 0)
        H = saved[first][1]
        for X, *_ in saved[first : t + 1]:
            Z = torch.sigmoid(X @ leaves[0] + H @ leaves[1] + leaves[2])
            R = torch.sigmoid(X @ leaves[3] + H @ leaves[4] + leaves[5])
            H_tilde = torch.tanh(X @ leaves[6] + (R * H) @ leaves[7] + leaves[8])
            H = Z * H + (1 - Z) * H_tilde
        loss = loss + (dY * (H @ leaves[9] + leaves[10])).sum()
    loss.backward()
    return dict(enumerate(p.grad for p in leaves))


def truncated_in_one_pass(doutputs, saved, params, k):
    """From the last step to the first, with the gradients of the losses side by side by age."""
    total, rows = [torch.zeros_like(p) for p in params], len(saved[0][1])
    by_age = []
    for step, dY in zip(reversed(saved), reversed(doutputs.chunk(len(saved))), strict=True):
        X, H_prev, Z, R, H_tilde, H = step
        total[9] += H.T @ dY
        total[10] += dY.sum(0)
        by_age = [dY @ params[9].T, *by_age][:k]
        back = []
        for dH in by_age:
            dA_z, dA_r, dA_h, _, dH_prev = gru_step_backward(dH, H_prev, Z, R, H_tilde, params)
            for place, dA in ((0, dA_z), (3, dA_r), (6, dA_h)):
                total[place] += X.T @ dA
                total[place + 1] += (R * H_prev if place == 6 else H_prev).T @ dA
                total[place + 2] += torch.ones(rows, dtype=dA.dtype) @ dA
            back.append(dH_prev)
        by_age = back
    return total


UNUSUAL = {
    "07.1a": ["kept", {"Kept"}],
    "07.1b": ["none", "None"],
    "07.2": [reset_by_autograd, reset_by_numpy, reset_in_float32],
    "07.3a": [terms_by_autograd, terms_from_the_package, terms_by_jacobians],
    "07.3b": ["W_xz W_hz b_z W_xr W_hr b_r W_xh W_hh b_h"],
    "07.3c": ["kept, candidate, update gate, reset gate"],
    "07.3d": [{"1 step: H too", "2 steps: parameters"}],
    "07.4a": [rnn_by_autograd, RNNStepBackward()],
    "07.4b": [
        lambda weight, state: weight / math.cosh(math.atanh(state)) ** 2,
        lambda w, h: torch.tensor(w) * (1 + h) * (1 - h),
        lambda w, h: w - h * h * w,
    ],
    "07.4c": [
        {"derivative": notebook_07.derivative(-2, 0.9), "w_hh": -2, "first state": 0.9},
        np.array([1.5, 0.5, 4.1e-20]),
    ],
    "07.5a": [sensitivity_by_autograd, sensitivity_by_differences, sensitivity_forward],
    "07.5b": [[0, 0, 1, 1], {name: float(k > 1) for k, name in enumerate(notebook_07.GATES_SET)}],
    "07.6": [truncated_by_the_package, truncated_by_autograd, truncated_in_one_pass],
}
