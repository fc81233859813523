"""The variants of notebook 10: every step against an independent reference, the tasks, the scan."""

import json

import numpy as np
import pytest
import reference
import torch
from torch import nn

from gru_helpers import CorpusError, plotting
from gru_helpers.corpus import data_dir
from gru_helpers.studies import variants
from gru_helpers.studies.variants import CELLS, STACKED, Layer, Net, TextNet

DOUBLE = torch.float64
# the library's layer, and which of its blocks ours are, in our order
LIBRARY = {
    "RNN": (nn.RNN, [0]),
    "LSTM": (nn.LSTM, [1, 0, 3, 2]),
    "reset after": (nn.GRU, [1, 0, 2]),
}


def layer_of(name, num_inputs=3, num_hiddens=5):
    torch.manual_seed(1)
    return Layer(CELLS[name], num_inputs, num_hiddens).double()


def inputs(steps=7, batch=2, width=3):
    return torch.randn(steps, batch, width, dtype=DOUBLE)


@pytest.mark.parametrize("name", LIBRARY)
def test_steps_that_the_library_has_equal_it_in_outputs_and_gradients(name):
    kind, order = LIBRARY[name]
    torch.manual_seed(0)
    ours, theirs, X = layer_of(name), kind(3, 5).double(), inputs()
    W_x, W_h, b_x, b_h = (p.detach().chunk(len(order)) for p in theirs.parameters())
    inside = [order.index(2)] if name == "reset after" else []  # whose second bias stands alone
    with torch.no_grad():
        for place, block in enumerate(order):
            ours.W_x[place].copy_(W_x[block].T)
            ours.W_h[place].copy_(W_h[block].T)
            ours.b[place].copy_(b_x[block] + (0 if place in inside else b_h[block]))
        if inside:
            ours.W_h[3].copy_(b_h[2])
    X1, X2 = X.clone().requires_grad_(), X.clone().requires_grad_()
    (found, _), (expected, _) = ours(X1), theirs(X2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(X1.grad, X2.grad, rtol=0, atol=1e-12)


def by_numpy(name, layer, X):
    """The states, one step after the other, from the equations in numpy."""
    W_x, b, W_h = ([p.detach().numpy() for p in part] for part in (layer.W_x, layer.b, layer.W_h))
    sigmoid, H, states = reference.sigmoid, np.zeros((X.shape[1], layer.num_hiddens)), []
    for x in X.numpy():
        Z = sigmoid(x @ W_x[0] + b[0] + (H @ W_h[0] if W_h else 0))
        past = x @ W_x[-1] + b[-1]
        if name == "GRU":
            R = sigmoid(x @ W_x[1] + b[1] + H @ W_h[1])
            new = np.tanh(past + (R * H) @ W_h[2])
        elif name == "R = 1":
            new = np.tanh(past + H @ W_h[1])
        elif name == "MGU":
            new = np.tanh(past + ((1 - Z) * H) @ W_h[1])
        else:
            new = past
        H = Z * H + (1 - Z) * new
        states.append(H)
    return np.stack(states)


@pytest.mark.parametrize("name", ["GRU", "R = 1", "MGU", "minGRU"])
def test_the_other_steps_equal_their_equations_in_numpy(name):
    layer, X = layer_of(name), inputs()
    reference.agree([layer(X)[0]], [by_numpy(name, layer, X)])


def test_the_taught_gru_is_the_reference_of_the_course():
    layer, X = layer_of("GRU"), inputs()
    P = {"W_hz": layer.W_h[0], "W_hr": layer.W_h[1], "W_hh": layer.W_h[2]}
    for place, gate in enumerate("zrh"):
        P |= {f"W_x{gate}": layer.W_x[place], f"b_{gate}": layer.b[place]}
    P |= {"W_hq": torch.zeros(5, 1, dtype=DOUBLE), "b_q": torch.zeros(1, dtype=DOUBLE)}
    P = {name: reference.array(value) for name, value in P.items()}
    found = reference.run(P, reference.array(X), np.zeros((2, 5)))
    reference.agree([layer(X)[0]], [found["H"]])


def test_without_its_reset_gate_the_gru_is_the_variant_r_1():
    gru, other, X = layer_of("GRU"), layer_of("R = 1"), inputs()
    with torch.no_grad():
        for mine, its in ((0, 0), (1, 2)):
            other.W_x[mine].copy_(gru.W_x[its])
            other.b[mine].copy_(gru.b[its])
            other.W_h[mine].copy_(gru.W_h[its])
        gru.b[1].fill_(60)
    torch.testing.assert_close(gru(X)[0], other(X)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_a_state_handed_on_is_as_good_as_one_long_sequence(name):
    layer, X = layer_of(name), inputs()
    whole, _ = layer(X)
    first, state = layer(X[:4])
    second, _ = layer(X[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)


@pytest.mark.parametrize("name", CELLS)
def test_the_bias_that_keeps_is_that_of_the_gate_that_keeps(name):
    """With a large one, the state of a gated layer hardly changes."""
    torch.manual_seed(0)
    layer = Layer(CELLS[name], 3, 5, keep_bias=30.0).double()
    old = [torch.rand(2, 5, dtype=DOUBLE)] * CELLS[name].states
    _, new = layer(inputs(steps=1), old)
    kept = torch.allclose(new[-1], old[-1], atol=1e-9)
    assert kept is (name not in ("RNN", "LSTM"))  # the LSTM adds to what it keeps
    if name == "LSTM":
        layer.b[1].data.fill_(-60)  # shut the input gate too
        _, new = layer(inputs(steps=1), old)
        torch.testing.assert_close(new[1], old[1])


@pytest.mark.parametrize(
    ("task", "sizes"), [("number", (2, 1, 30)), ("copy", (10, 8, 64)), ("text", (28, 28, 64))]
)
def test_all_variants_have_the_same_number_of_parameters_within_two_percent(task, sizes):
    num_inputs, num_outputs, units = sizes
    budget = variants.num_params(CELLS["GRU"], num_inputs, units, num_outputs)
    for name in [*CELLS] + [*STACKED] * (task != "number"):
        kind = TextNet if task == "text" else Net
        net = variants.make_net(kind, name, num_inputs, num_outputs, units, 1.0, seed=0)
        size = sum(p.numel() for p in net.parameters())
        cell, layers = STACKED.get(name, (name, 1))
        found = net.linear.in_features
        assert size == variants.num_params(CELLS[cell], num_inputs, found, num_outputs, layers)
        assert abs(size / budget - 1) < 0.02


def test_the_two_directions_share_the_parameters_of_one():
    one, two = (sum(p.numel() for p in variants.mask_net(t).parameters()) for t in (False, True))
    assert abs(two / one - 1) < 0.02


def test_the_symbols_lie_in_order_among_blanks_and_are_asked_for_at_the_end():
    torch.manual_seed(0)
    X, symbols = variants.copy_batch(50, length=12, count=3, num_symbols=5)
    assert X.shape == (50, 15)
    assert (X[:, 12:] == 6).all()
    for row, wanted in zip(X[:, :12].tolist(), symbols.tolist(), strict=True):
        assert [token for token in row if token != 5] == wanted
    places = (X[:, :12] != 5).float().mean(dim=0)
    assert places.min() > 0.05, "they may stand anywhere"


def test_hidden_characters_are_replaced_and_the_others_are_not():
    torch.manual_seed(0)
    X, Y = variants.mask_batch(torch.arange(1, 500), 64, 20)
    assert ((X == Y) | (X == 0)).all()
    assert (X == 0).float().mean().item() == pytest.approx(0.15, abs=0.03)


def test_a_window_is_followed_by_the_next_character():
    torch.manual_seed(0)
    X, Y = variants.text_batch(torch.arange(100), 64, 10)
    assert torch.equal(Y, X + 1)
    assert Y.max() < 100


def test_minibatches_do_not_depend_on_the_variant(monkeypatch):
    seen = []
    made = variants.copy_batch
    monkeypatch.setattr(variants, "copy_batch", lambda *a: seen.append(made(*a)) or seen[-1])
    for name in ("GRU", "minGRU", "RNN"):
        variants.train_copy(name, seed=3, length=6, num_minibatches=2)
    first, second, third = (seen[i : i + 3] for i in (0, 3, 6))
    for a, b, c in zip(first, second, third, strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[0], c[0])


@pytest.mark.parametrize("num_steps", [1, 2, 3, 8, 37])
def test_the_scan_is_the_loop_and_passes_gradcheck(num_steps):
    torch.manual_seed(0)
    a, b = (torch.rand(num_steps, 2, 3, dtype=DOUBLE, requires_grad=True) for _ in range(2))
    torch.testing.assert_close(variants.scan(a, b), variants.loop(a, b), rtol=0, atol=1e-12)
    if num_steps < 10:
        assert torch.autograd.gradcheck(variants.scan, (a, b))


def test_the_scan_computes_mingru():
    layer, X = layer_of("minGRU"), inputs(steps=33)
    X_z, X_h = (X @ W_x + b for W_x, b in zip(layer.W_x, layer.b, strict=True))
    Z = torch.sigmoid(X_z)
    torch.testing.assert_close(variants.scan(Z, (1 - Z) * X_h), layer(X)[0], rtol=0, atol=1e-12)


def test_a_short_gap_is_learned():
    _, row = variants.train_number("GRU", seed=0, gap=3)
    assert row["solved"]
    assert row["error"] < 0.004


def test_the_record_is_of_these_variants_at_equal_size():
    record = json.loads((data_dir() / variants.RECORD).read_text(encoding="utf-8"))
    for task in ("number", "copy", "text"):
        names = [*CELLS] + [*STACKED] * (task != "number")
        assert list(record[task]) == names
        sizes = [row["params"] for row in record[task].values()]
        assert max(abs(size / record[task]["GRU"]["params"] - 1) for size in sizes) < 0.02
        assert {len(row["minibatches"]) for row in record[task].values()} == {record["seeds"]}
    assert record["seeds"] >= 3


def test_without_the_book_it_says_so(monkeypatch, capsys):
    def no_book():
        raise CorpusError("there is no book here.")

    monkeypatch.setattr(variants, "load_text", no_book)
    assert variants.main([]) == 1
    assert capsys.readouterr().err == "The variants need the book: there is no book here.\n"


def test_interrupting_it_is_no_error_and_writes_nothing(monkeypatch, tmp_path, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(variants, "load_text", interrupted)
    monkeypatch.chdir(tmp_path)
    assert variants.main(["--record"]) == 130
    assert capsys.readouterr().err == "\nInterrupted: nothing was written.\n"
    assert list(tmp_path.iterdir()) == []


def test_the_family_tree_has_every_variant_with_its_year():
    (axes,) = plotting.family_tree().axes
    texts = " ".join(text.get_text() for text in axes.texts)
    for name, (source, _, _, _) in plotting.FAMILY.items():
        assert name in texts
        assert source in texts
    drawn = {p.get_linestyle() for p in (t.get_bbox_patch() for t in axes.texts) if p}
    assert len(drawn) > 1, "the two kinds differ in more than color"
