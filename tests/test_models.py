"""The models behind one interface, weights carried across, checkpoints."""

import copy
import errno
import functools
import io
import os
import pickle
import re
import time
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from gru_helpers import (
    PARAM_NAMES,
    CheckpointError,
    History,
    RNNModel,
    RNNModelScratch,
    Vocab,
    get_params,
    gru,
    gru_switched,
    init_gru_state,
    load_checkpoint,
    params_from_rnn_model,
    params_to_rnn_model,
    predict,
    save_checkpoint,
    try_gpu,
)
from gru_helpers.pretrained import checkpoint_dir

CPU = torch.device("cpu")
# torch says that it has no fast path for this layer; the numbers are the same
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")

LAYERS = {
    "RNN": lambda: nn.RNN(28, 6),
    "RNN relu, two layers": lambda: nn.RNN(28, 6, num_layers=2, nonlinearity="relu"),
    "GRU": lambda: nn.GRU(28, 6),
    "GRU without biases": lambda: nn.GRU(28, 6, bias=False),
    "GRU, three layers, both directions": lambda: nn.GRU(28, 6, 3, bidirectional=True),
    "LSTM": lambda: nn.LSTM(28, 6),
    "LSTM, two layers, both directions": lambda: nn.LSTM(28, 6, 2, bidirectional=True),
    "LSTM, projected": lambda: nn.LSTM(28, 6, num_layers=2, proj_size=4),
}


def gru_after(inputs, state, params):
    """``gru_switched`` with the reset gate after the matrix product."""
    return gru_switched(inputs, state, params, reset_after=True)


def drawn(shapes, seed=0, scale=0.3, dtype=torch.float64):
    """Leaf tensors at random."""
    rng = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(shape, generator=rng, dtype=dtype) * scale).requires_grad_(True)
        for shape in shapes
    ]


def twelve(v=5, h=7, **look):
    """Parameters with the reset gate after the product, ``b_hn`` last."""
    return drawn([(v, h), (h, h), (h,)] * 3 + [(h, v), (v,), (h,)], **look)


def eleven(v=5, h=7, **look):
    """Parameters with the reset gate before the product."""
    return twelve(v, h, **look)[:11]


def scratch_of(params, forward_fn=gru):
    """A scratch model that holds ``params``."""
    v, h = params[0].shape
    return RNNModelScratch(v, h, CPU, lambda *sizes: params, init_gru_state, forward_fn)


@pytest.fixture(params=LAYERS)
def layered(request):
    """A model around each kind of layer."""
    torch.manual_seed(3)
    return RNNModel(LAYERS[request.param](), 28)


@pytest.fixture
def ids():
    """A minibatch of token ids, ``(4, 9)``."""
    return torch.randint(0, 28, (4, 9), generator=torch.Generator().manual_seed(5))


def same(ours, theirs):
    """Whether two lists of tensors are equal to the bit."""
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


# --- one interface ------------------------------------------------------------------------------


def check_interface(model, ids):
    """Shapes, a tuple of zeros for a first state, the same without one, and what can be trained."""
    batch, steps = ids.shape
    state = model.begin_state(batch, CPU)
    assert isinstance(state, tuple)
    assert not any(s.any() for s in state)
    logits, new = model(ids, state)
    assert logits.shape == (steps * batch, 28)
    assert isinstance(new, tuple)
    assert [s.shape for s in new] == [s.shape for s in state]
    assert torch.equal(model(ids)[0], logits)
    assert torch.equal(model(ids, list(state))[0], logits)
    params = list(model.parameters())
    assert params
    assert all(p.is_leaf and p.requires_grad for p in params)
    return logits, new


def test_both_models_are_used_in_the_same_way(model, ids):
    logits, state = check_interface(model, ids)
    first, carried = model(ids[:, :4])
    second, end = model(ids[:, 4:], carried)
    assert torch.allclose(torch.cat([first, second]), logits, atol=1e-6)
    assert torch.allclose(end[0], state[0], atol=1e-6)


def test_any_layer_is_used_in_the_same_way(layered, ids):
    logits, _ = check_interface(layered, ids)
    if not layered.rnn.bidirectional:
        first, state = layered(ids[:, :4])
        second, _ = layered(ids[:, 4:], state)
        assert torch.allclose(torch.cat([first, second]), logits, atol=1e-6)


def test_rows_of_the_output_go_with_the_labels_transposed(model, ids):
    """Row i of step t stands at t * batch + i, where ``labels.T.reshape(-1)`` has its label."""
    logits, _ = model(ids)
    alone, _ = model(ids[2:3])
    assert torch.allclose(logits.reshape(9, 4, 28)[:, 2], alone, atol=1e-6)
    assert ids.T.reshape(-1)[5 * 4 + 2] == ids[2, 5]


@pytest.mark.parametrize(
    "dtype",
    [torch.int8, torch.int16, torch.int32, torch.uint8, torch.uint16, torch.uint32, torch.uint64],
)
def test_ids_of_any_integer_type(model, ids, dtype):
    assert torch.equal(model(ids.to(dtype))[0], model(ids)[0])


def test_states_are_shaped_as_the_layers_have_them(scratch):
    def shapes(model):
        return [tuple(s.shape) for s in model.begin_state(4)]

    assert shapes(scratch) == [(4, 8)]
    assert shapes(RNNModel(LAYERS["GRU"](), 28)) == [(1, 4, 6)]
    assert shapes(RNNModel(LAYERS["GRU, three layers, both directions"](), 28)) == [(6, 4, 6)]
    assert shapes(RNNModel(LAYERS["LSTM"](), 28)) == [(1, 4, 6), (1, 4, 6)]
    assert shapes(RNNModel(LAYERS["LSTM, projected"](), 28)) == [(2, 4, 4), (2, 4, 6)]


def test_both_directions_feed_the_output_layer():
    """The last character must reach the prediction of the first step by the way back."""
    torch.manual_seed(3)
    model = RNNModel(nn.GRU(28, 6, bidirectional=True), 28)
    X = torch.zeros((1, 5), dtype=torch.int64)
    one, _ = model(X)
    X[0, 4] = 9
    other, _ = model(X)
    assert (one[0] - other[0]).abs().max() > 0


def test_parameter_counts_of_the_classic_sizes():
    def count(model):
        return sum(p.numel() for p in model.parameters())

    assert count(RNNModelScratch(28, 256, CPU, get_params, init_gru_state, gru)) == 226_076
    assert count(RNNModel(nn.GRU(28, 256), 28)) == 226_844


def test_try_gpu_names_a_device_that_is_there():
    assert torch.zeros(1, device=try_gpu()).device.type == (
        "cuda" if torch.cuda.is_available() else "cpu"
    )


# --- what a user of PyTorch expects of a module -------------------------------------------------


def test_the_scratch_model_is_made_of_the_three_functions_it_is_given():
    """A plain RNN, with five parameters of its own and a state of two tensors."""
    calls = []

    def five(vocab_size, num_hiddens, device):
        calls.append((vocab_size, num_hiddens, device))
        return drawn([(28, 6), (6, 6), (6,), (6, 28), (28,)], dtype=torch.float32)

    def two_tensors(batch_size, num_hiddens, device):
        return torch.zeros(batch_size, num_hiddens, device=device), torch.ones(batch_size, 1)

    def rnn(inputs, state, params):
        W_xh, W_hh, b_h, W_hq, b_q = params
        H, count = state
        for X in inputs:
            H, count = torch.tanh(X @ W_xh + H @ W_hh + b_h), count + 1
        return H @ W_hq + b_q, (H, count)

    model = RNNModelScratch(28, 6, CPU, five, two_tensors, rnn)
    assert calls == [(28, 6, CPU)]
    assert model.init_state is two_tensors
    assert model.forward_fn is rnn
    logits, (H, count) = model(torch.zeros((4, 9), dtype=torch.int64))
    assert logits.shape == (4, 28)
    assert H.shape == (4, 6)
    assert count.tolist() == [[10.0]] * 4
    assert [name for name, _ in model.named_parameters()] == [f"param_{i}" for i in range(5)]
    assert repr(model) == "RNNModelScratch(28, 6, forward_fn=rnn)"


def test_the_parameters_have_the_names_of_the_equations(scratch):
    assert isinstance(scratch, nn.Module)
    named = list(scratch.named_parameters())
    assert [name for name, _ in named] == list(PARAM_NAMES)
    assert all(a is b for (_, a), b in zip(named, scratch.params, strict=True))
    assert [name for name, _ in scratch_of(twelve()).named_parameters()][11] == "b_hn"
    assert scratch.W_hh is scratch.params[7]


def test_a_state_dict_goes_into_another_model(model, ids):
    torch.manual_seed(77)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p in other.parameters():
            p.normal_()
    assert not torch.equal(other(ids)[0], model(ids)[0])
    keys = other.load_state_dict(model.state_dict())
    assert not keys.missing_keys
    assert not keys.unexpected_keys
    assert torch.equal(other(ids)[0], model(ids)[0])


def test_moving_a_model_moves_its_parameters_and_its_states(model, ids):
    before, params = model(ids)[0], list(model.parameters())
    model.double()
    assert all(a is b for a, b in zip(params, model.parameters(), strict=True)), (
        "an optimizer keeps"
    )
    logits, state = model(ids)
    assert state[0].dtype == logits.dtype == model.begin_state(4)[0].dtype == torch.float64
    assert torch.allclose(logits.float(), before, atol=1e-6)
    model.to("meta")
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert model.begin_state(4)[0].device.type == "meta"
    assert model.begin_state(4, "cpu")[0].device.type == "cpu"


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_equal_and_independent(model, ids, clone):
    logits, other = model(ids)[0], clone(model)
    assert torch.equal(other(ids)[0], logits)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert not torch.equal(other(ids)[0], logits)
    assert torch.equal(model(ids)[0], logits)


def test_training_mode_and_gradients_are_switched_as_in_any_module(model, ids):
    assert model.training
    assert not model.eval().training
    model(ids)[0].sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    model.requires_grad_(False)
    assert not model(ids)[0].requires_grad


def test_params_can_be_exchanged_as_a_whole(scratch, ids):
    before = scratch(ids)[0]
    new = eleven(28, 8, dtype=torch.float32)
    new[3].requires_grad_(False)
    scratch.params = new
    assert same(scratch.params, new)
    assert [p.requires_grad for p in scratch.params] == [i != 3 for i in range(11)]
    assert list(scratch.state_dict()) == list(PARAM_NAMES)
    logits = scratch(ids)[0]
    assert not torch.equal(logits, before)
    assert torch.equal(
        logits, gru(nn.functional.one_hot(ids.T, 28).float(), scratch.begin_state(4), new)[0]
    )
    logits.sum().backward()
    assert scratch.W_xz.grad is not None
    with pytest.raises(TypeError):
        scratch.params[0] = new[0]


def test_an_optimizer_moves_what_the_model_holds(scratch, ids):
    """Parameters that are assigned again stay the same; other tensors need a new optimizer."""
    optimizer = torch.optim.SGD(scratch.parameters(), lr=1.0)
    scratch.params = scratch.params
    before = scratch(ids)[0]
    before.sum().backward()
    optimizer.step()
    after = scratch(ids)[0]
    assert not torch.equal(after, before)
    scratch.params = [p.detach().clone().requires_grad_(True) for p in scratch.params]
    optimizer.step()
    assert torch.equal(scratch(ids)[0], after)


# --- equality with nn.GRU -----------------------------------------------------------------------


def loss_of(outputs, state):
    """A number in which every output and every state counts with a weight of its own."""
    flat = torch.cat([outputs.flatten(), state.flatten()])
    return (flat * torch.sin(torch.arange(len(flat), dtype=flat.dtype) + 1)).sum()


def nn_gradients(model):
    """The gradients of ``nn.GRU``, in the order and shapes of ``get_params``, and of ``b_hn``.

    By the documentation of torch.nn.GRU: rows of the weights are r, z, n, and products are with
    the transpose. The reset and update gates add their two biases; the candidate keeps them apart.
    """
    h = model.rnn.hidden_size
    grads = {name: p.grad for name, p in model.rnn.named_parameters()}
    b_i, b_h = grads["bias_ih_l0"], grads["bias_hh_l0"]
    assert torch.allclose(b_i[: 2 * h], b_h[: 2 * h], rtol=1e-12)
    ordered = []
    for gate in (slice(h, 2 * h), slice(0, h), slice(2 * h, 3 * h)):  # z, r, n
        ordered += [grads["weight_ih_l0"][gate].T, grads["weight_hh_l0"][gate].T, b_i[gate]]
    return [*ordered, model.linear.weight.grad.T, model.linear.bias.grad, b_h[2 * h :]]


@settings(max_examples=25)
@given(
    v=st.integers(1, 6),
    h=st.integers(1, 8),
    batch=st.integers(1, 4),
    steps=st.integers(1, 8),
    scale=st.sampled_from([0.01, 0.3, 2.0]),
    seed=st.integers(0, 999),
)
def test_reset_after_is_nn_gru_in_outputs_and_gradients(v, h, batch, steps, scale, seed):
    params = twelve(v, h, seed=seed, scale=scale)
    model = params_to_rnn_model(params)
    X = torch.randint(0, v, (batch, steps), generator=torch.Generator().manual_seed(seed))
    (H,) = drawn([(batch, h)], seed=seed + 1, scale=0.5)
    H_there = H.detach()[None].clone().requires_grad_(True)
    outputs, (state,) = gru_after(nn.functional.one_hot(X.T, v).double(), (H,), params)
    there, (state_there,) = model(X, (H_there,))
    assert (outputs - there).abs().max() < 1e-12
    assert (state - state_there[0]).abs().max() < 1e-12
    loss_of(outputs, state).backward()
    loss_of(there, state_there[0]).backward()
    for param, grad in zip(params, nn_gradients(model), strict=True):
        assert (param.grad - grad).abs().max() <= 1e-12 * max(1, grad.abs().max())
    assert (H.grad - H_there.grad[0]).abs().max() < 1e-12


@pytest.mark.parametrize(("scale", "low", "high"), [(0.3, 0.01, 10), (0.01, 1e-8, 1e-4)])
def test_reset_before_is_another_function_which_small_weights_hide(scale, low, high):
    params = eleven(28, 64, scale=scale)
    X = torch.randint(0, 28, (4, 35), generator=torch.Generator().manual_seed(1))
    difference = scratch_of(params)(X)[0] - params_to_rnn_model(params)(X)[0]
    assert low < difference.abs().max().item() < high


# --- weights there and back ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [eleven, twelve])
def test_there_and_back_to_the_bit(make, dtype):
    params = make(dtype=dtype)
    back = params_from_rnn_model(params_to_rnn_model(params))
    assert len(back) == 12
    assert {p.dtype for p in back} == {dtype}
    assert same(params, back[: len(params)])
    if make is eleven:
        assert not back[11].any()
        assert same(params, params_from_rnn_model(params_to_rnn_model(params), reset_after=False))


def test_a_trained_layer_goes_over_and_comes_back(ids):
    torch.manual_seed(2)
    model = RNNModel(nn.GRU(28, 6), 28).double()
    params = params_from_rnn_model(model)
    expected, _ = model(ids)
    assert (scratch_of(params, gru_after)(ids)[0] - expected).abs().max() < 1e-12
    assert (params_to_rnn_model(params)(ids)[0] - expected).abs().max() < 1e-12


def test_reset_before_takes_both_candidate_biases_together(concise):
    before, after = (params_from_rnn_model(concise, reset_after=way) for way in (False, True))
    assert len(before) == 11
    assert torch.allclose(before[8], after[8] + after[11])
    assert all(torch.equal(before[i], after[i]) for i in range(11) if i != 8)


def test_copies_are_fresh_leaves_that_share_nothing():
    model = params_to_rnn_model(eleven())
    copies = params_from_rnn_model(model)
    assert all(p.is_leaf and p.requires_grad and p.is_contiguous() for p in copies)
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in copies:
            p.add_(1)
    assert same(before, model.parameters())


# --- what is refused, and in which words --------------------------------------------------------


def scratch_model(*sizes):
    return RNNModelScratch(*sizes, CPU, get_params, init_gru_state, gru)


def concise_model(**look):
    return RNNModel(nn.GRU(28, 6, **look), 28)


SIZE = "{} must be a positive integer, got {!r}."
DEVICE = (
    "device must be one that PyTorch finds on this computer, such as 'cpu' or what try_gpu() "
    "returns, got {!r}."
)
KIND = "rnn_layer must be nn.RNN, nn.GRU or nn.LSTM, got {}."
FEATURES = (
    "rnn_layer must take 28 features (the vocabulary) with batch_first=False, got {} with "
    "batch_first={}."
)
LAYER = (
    "The model must be built on nn.GRU with one layer and one direction, got {}: each layer and "
    "each direction has gates of its own."
)
BIASES = "The nn.GRU of the model must have biases, got bias=False."
NUMBER = (
    f"params must be the 11 tensors {', '.join(PARAM_NAMES)}, or 12 with b_hn at the end, got 9."
)
SHAPE = (
    "W_hz must have shape (7, 7), since W_xz is (5, 7), got (7,): check its size and its place in "
    "the list."
)
UNCOPIED = [nn.GRU(28, 6, 2), nn.GRU(28, 6, bidirectional=True), nn.LSTM(28, 6), nn.RNN(28, 6)]
REFUSED = [
    (scratch_model, (0, 4), SIZE.format("vocab_size", 0)),
    (scratch_model, (4, -1), SIZE.format("num_hiddens", -1)),
    (scratch_model, (2.5, 4), SIZE.format("vocab_size", 2.5)),
    (RNNModel, (nn.GRU(28, 6), 0), SIZE.format("vocab_size", 0)),
    (concise_model().begin_state, (0,), SIZE.format("batch_size", 0)),
    (scratch_model(28, 6).begin_state, (0,), SIZE.format("batch_size", 0)),
    (concise_model().begin_state, (1, "gpu"), DEVICE.format("gpu")),
    (scratch_model(28, 6).begin_state, (1, "cuda:99"), DEVICE.format("cuda:99")),
    (RNNModel, (nn.Linear(28, 6), 28), KIND.format("Linear")),
    (RNNModel, (nn.GRUCell(28, 6), 28), KIND.format("GRUCell")),
    (RNNModel, (nn.GRU(6, 28), 28), FEATURES.format(6, False)),
    (RNNModel, (nn.GRU(28, 6, batch_first=True), 28), FEATURES.format(28, True)),
    *[(params_from_rnn_model, (RNNModel(x, 28),), LAYER.format(x)) for x in UNCOPIED],
    (params_from_rnn_model, (scratch_model(28, 6),), LAYER.format(None)),
    (params_from_rnn_model, (concise_model(bias=False),), BIASES),
    (params_to_rnn_model, (eleven()[:9],), NUMBER),
    (params_to_rnn_model, (eleven()[:1] + eleven()[2:3] * 10,), SHAPE),
]


@pytest.mark.parametrize(("function", "arguments", "sentence"), REFUSED)
def test_what_is_refused_and_in_which_words(function, arguments, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        function(*arguments)
    assert str(caught.value) == sentence


NOT_IDS = (
    "X must hold integer token ids of shape (batch_size, num_steps), got shape {} and type {}."
)
UNKNOWN_ID = "Token ids must lie between 0 and 27, got {}: was X made with another vocabulary?"


@pytest.mark.parametrize(
    ("X", "sentence"),
    [
        (torch.tensor([[0, 28]]), UNKNOWN_ID.format(28)),
        (torch.tensor([[0, -1]]), UNKNOWN_ID.format(-1)),
        (torch.tensor([[0, 200]], dtype=torch.uint8), UNKNOWN_ID.format(200)),
        (torch.zeros(4, 9), NOT_IDS.format("(4, 9)", "torch.float32")),
        (torch.zeros(4, 9, dtype=torch.bool), NOT_IDS.format("(4, 9)", "torch.bool")),
        (torch.zeros(9, dtype=torch.int64), NOT_IDS.format("(9,)", "torch.int64")),
        (torch.zeros(4, 0, dtype=torch.int64), NOT_IDS.format("(4, 0)", "torch.int64")),
        (torch.zeros(0, 9, dtype=torch.int64), NOT_IDS.format("(0, 9)", "torch.int64")),
    ],
)
def test_ids_that_are_refused(model, X, sentence):
    with pytest.raises(ValueError, match="X") as caught:
        model(X)
    assert str(caught.value) == sentence


def test_states_that_a_layer_refuses(layered, ids):
    """Of another number of rows, of another shape, too many or too few tensors, no tuple."""
    good = layered.begin_state(4)
    wrong = [
        layered.begin_state(3),
        tuple(s[:, :, :2] for s in good),
        (*good, good[0]),
        (),
        good[0],
    ]
    for state in wrong:
        given = [tuple(s.shape) for s in state] if isinstance(state, tuple) else "Tensor"
        with pytest.raises(ValueError, match="The state of") as caught:
            layered(ids, state)
        assert str(caught.value) == (
            f"The state of nn.{type(layered.rnn).__name__} for 4 rows must be a tuple of tensors "
            f"of shapes {[tuple(s.shape) for s in good]}, got {given}: make one with begin_state."
        )


@pytest.mark.parametrize("state", [(), (torch.zeros(3, 8),), torch.zeros(4, 8)])
def test_states_that_the_scratch_model_refuses(scratch, ids, state):
    with pytest.raises(ValueError, match=r"The state .*init_gru_state"):
        scratch(ids, state)


# --- checkpoints --------------------------------------------------------------------------------

CHECKPOINTED = {
    "scratch, 11": lambda: scratch_of(eleven(28, 6, dtype=torch.float32)),
    "scratch, 12": lambda: scratch_of(twelve(28, 6, dtype=torch.float32), gru_after),
    "scratch, float64": lambda: scratch_of(eleven(28, 6)),
    "GRU, float64": lambda: RNNModel(nn.GRU(28, 6), 28).double(),
    "GRU, dropout": lambda: RNNModel(nn.GRU(28, 6, num_layers=2, dropout=0.25), 28).eval(),
    **{name: lambda make=make: RNNModel(make(), 28) for name, make in LAYERS.items()},
}


@pytest.mark.parametrize("kind", CHECKPOINTED)
def test_a_checkpoint_gives_the_same_model_back(kind, tmp_path, vocab, ids):
    torch.manual_seed(4)
    model = CHECKPOINTED[kind]()
    path = save_checkpoint(tmp_path / "new" / "model.pt", model, vocab, lr=1.0, seeds=[1, 2])
    found, found_vocab, settings = load_checkpoint(path, vocab=vocab)
    assert type(found) is type(model)
    assert found_vocab == vocab
    assert settings == {"lr": 1.0, "seeds": [1, 2]}
    assert list(found.state_dict()) == list(model.state_dict())
    for ours, theirs in zip(model.parameters(), found.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        assert theirs.is_leaf
        assert theirs.requires_grad
    if isinstance(model, RNNModel):
        assert repr(found.rnn) == repr(model.rnn), "all settings of the layer"
    found.train(model.training)
    assert torch.equal(found(ids)[0], model(ids)[0])
    assert predict("time", 9, found, vocab) == predict("time", 9, model, vocab)


def test_a_loaded_model_can_be_trained_on(tmp_path, model, vocab, ids):
    found, _, _ = load_checkpoint(save_checkpoint(tmp_path / "model.pt", model, vocab), "cpu")
    found(ids)[0].sum().backward()
    torch.optim.SGD(found.parameters(), lr=1.0).step()
    assert not same(found.parameters(), model.parameters())


@pytest.mark.parametrize(("name", "kind"), [("gru", RNNModelScratch), ("nn_gru", RNNModel)])
def test_the_checkpoints_that_come_with_the_course_are_read(name, kind):
    """They were written before the scratch model was a module."""
    seed = torch.random.get_rng_state()
    model, vocab, _ = load_checkpoint(checkpoint_dir() / f"{name}.pt")
    assert type(model) is kind
    assert predict("time traveller", 7, model, vocab) == "time travelleryou can"
    assert name == "nn_gru" or torch.equal(seed, torch.random.get_rng_state())


@pytest.fixture
def saved(tmp_path, scratch, vocab):
    """The path of a good checkpoint."""
    return save_checkpoint(tmp_path / "model.pt", scratch, vocab)


class Bomb:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch.save"])
def test_code_in_a_checkpoint_is_not_executed(tmp_path, write):
    trace, path = tmp_path / "executed", tmp_path / "model.pt"
    with path.open("wb") as file:
        write({"format": "gru_helpers checkpoint 1", "settings": Bomb(trace)}, file)
    with pytest.raises(CheckpointError, match="something other than tensors and settings"):
        load_checkpoint(path)
    assert not trace.exists()
    torch.load(path, weights_only=False) if write is torch.save else pickle.loads(path.read_bytes())
    assert trace.exists(), "the trap itself works"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(share=st.floats(0, 0.999))
def test_a_truncated_checkpoint_is_refused(saved, share):
    content = saved.read_bytes()
    broken = saved.with_name("broken.pt")
    broken.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r"cannot be read as a checkpoint .*Save it again\."):
        load_checkpoint(broken)


def test_a_flipped_bit_is_noticed(saved, scratch):
    """In a tensor, the vocabulary, the settings or the zip file around them."""
    whole, refused = saved.read_bytes(), 0
    rng = torch.Generator().manual_seed(0)
    for place in torch.randint(0, 8 * len(whole), (100,), generator=rng).tolist():
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        saved.write_bytes(content)
        try:
            found, _, _ = load_checkpoint(saved)
        except CheckpointError:
            refused += 1
        else:  # it was in the padding between the entries
            assert same(found.params, scratch.params)
    assert refused > 50


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40))
def test_a_file_of_any_other_kind_is_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "content", [[1, 2], {"a": torch.zeros(2)}, {"format": "other"}, torch.zeros(2)], ids=str
)
def test_what_is_no_checkpoint_of_this_package(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="is not a checkpoint written by save_checkpoint"):
        load_checkpoint(tmp_path / "model.pt")


CONTRADICTIONS = {
    "kind": [{"class": "Mamba"}, {"class": "GRU", "num_layers": 1}, {}, None],
    "num_hiddens": [9, "8"],
    "tensors": [{}, {"W_xz": torch.zeros(28, 8)}, [1, 2], None],
    "vocab": [["<unk>", "a"], ["a", "b"], [], None],
    "settings": [None],
}


@pytest.mark.parametrize(
    ("key", "value"), [(k, v) for k in CONTRADICTIONS for v in CONTRADICTIONS[k]]
)
def test_a_checkpoint_that_contradicts_itself(saved, key, value):
    """An entry is replaced, or left out where its value is ``None``."""
    content = torch.load(saved, weights_only=True) | {key: value}
    torch.save({k: v for k, v in content.items() if v is not None}, saved)
    with pytest.raises(CheckpointError, match=r"model\.pt is inconsistent: ."):
        load_checkpoint(saved)


def test_tensors_are_found_by_their_names(saved, scratch):
    content = torch.load(saved, weights_only=True)
    tensors = dict(sorted(content["tensors"].items()))
    torch.save(content | {"tensors": tensors}, saved)
    assert same(load_checkpoint(saved)[0].params, scratch.params)
    tensors["V_hh"] = tensors.pop("W_hh")
    torch.save(content | {"tensors": tensors}, saved)
    with pytest.raises(CheckpointError, match=r"inconsistent: its tensors are W_hq, W_hr, .*V_hh"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"num_hiddens": 500}, "rnn.weight_ih_l0 is (24, 28), not (1500, 28)."),
        ({"num_layers": 50}, "it has 6 tensors for 50 layers."),
    ],
)
def test_sizes_are_compared_before_a_model_is_made(concise, vocab, tmp_path, changed, words):
    """Making one takes memory, and draws weights."""
    path = save_checkpoint(tmp_path / "model.pt", concise, vocab)
    content = torch.load(path, weights_only=True)
    content["kind"] |= {k: v for k, v in changed.items() if k in content["kind"]}
    content |= {k: v for k, v in changed.items() if k in content}
    torch.save(content, path)
    before = torch.random.get_rng_state()
    with pytest.raises(CheckpointError, match=re.escape(f"model.pt is inconsistent: {words}")):
        load_checkpoint(path)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_tensors_larger_than_the_file_are_refused(concise, vocab, tmp_path):
    """One stored number can stand for any number of them."""
    path = save_checkpoint(tmp_path / "model.pt", concise, vocab)
    content = torch.load(path, weights_only=True)
    shapes = dict(RNNModel(nn.GRU(28, 200), 28).named_parameters())
    content["tensors"] = {k: torch.zeros(()).expand(v.shape) for k, v in shapes.items()}
    torch.save(content | {"num_hiddens": 200}, path)
    with pytest.raises(CheckpointError, match="inconsistent: its tensors are larger than the file"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "value"), [("compress_type", zipfile.ZIP_DEFLATED), ("external_attr", 0x10)]
)
def test_a_zip_file_of_another_kind_is_refused(saved, name, value):
    """A small packed file could hold any number of bytes; of a folder nothing is read."""
    packed = io.BytesIO()
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(packed, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("data/1"):
                setattr(entry, name, value)
            new.writestr(entry, content)
    saved.write_bytes(packed.getvalue())
    assert torch.load(saved, weights_only=True)["num_hiddens"] == 8, "torch reads it"
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_checkpoint(saved)


def test_a_checkpoint_that_is_not_there(tmp_path):
    for path in (tmp_path / "none.pt", tmp_path):
        for error in (FileNotFoundError, CheckpointError):
            with pytest.raises(error) as caught:
                load_checkpoint(path)
            assert str(caught.value) == (
                f"There is no checkpoint {path}: check the name, or train one."
            )


def test_a_checkpoint_that_one_may_not_read(saved, monkeypatch):
    monkeypatch.setattr(Path, "read_bytes", refuse(PermissionError(errno.EACCES, "Not for you")))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(saved)
    assert str(caught.value) == (
        f"{saved} cannot be read (Not for you): it must be a file that you may read."
    )


@pytest.mark.parametrize("device", ["cuda:99", "gpu", 0.5])
def test_a_checkpoint_for_a_device_that_is_not_there(saved, device):
    with pytest.raises(ValueError, match=r"^device must be one that PyTorch finds on this comp"):
        load_checkpoint(saved, device)


def test_a_checkpoint_of_another_vocabulary(saved, vocab):
    with pytest.raises(CheckpointError, match=r"another vocabulary \(28 tokens; this one has 4\)"):
        load_checkpoint(saved, vocab=Vocab(list("abc")))
    same_size = Vocab.from_list(["<unk>", *reversed(vocab.idx_to_token[1:])])
    with pytest.raises(CheckpointError, match="another vocabulary"):
        load_checkpoint(saved, vocab=same_size)


def test_what_is_not_saved(tmp_path, scratch, vocab):
    """No model, another vocabulary, parameters of no GRU, settings that could not be read back."""
    for wrong in (None, nn.GRU(28, 8)):
        with pytest.raises(ValueError, match="model must be a language model with a vocab_size"):
            save_checkpoint(tmp_path / "model.pt", wrong, vocab)
    with pytest.raises(ValueError, match="vocabulary has 4 tokens and the model 28: use the"):
        save_checkpoint(tmp_path / "model.pt", scratch, Vocab(list("abc")))
    for value in (History(), tmp_path, lambda: 0, iter("")):
        with pytest.raises(ValueError, match="settings must be numbers, strings, lists and dicts"):
            save_checkpoint(tmp_path / "model.pt", scratch, vocab, value=value)
    scratch.params = scratch.params[:5]
    with pytest.raises(ValueError, match=r"must be the 11 tensors .* got 5\."):
        save_checkpoint(tmp_path / "model.pt", scratch, vocab)
    assert list(tmp_path.iterdir()) == []


def refuse(error):
    """A function that raises ``error``, whatever it is given."""

    def refused(*args, **kwargs):
        raise error

    return refused


def half_way(error):
    """``Path.write_bytes`` on a disk on which there is room for four bytes."""

    def write(path, content):
        with path.open("wb") as file:
            file.write(content[:4])
        raise error

    return write


@pytest.fixture(params=["checkpoint", "history"])
def save(request, scratch, vocab):
    """Two ways to write a file, as functions of its path."""
    if request.param == "history":
        return History(label="mine").save
    return functools.partial(save_checkpoint, model=scratch, vocab=vocab)


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "interrupt"])
@pytest.mark.parametrize(
    ("module", "name", "function"), [(Path, "write_bytes", half_way), (os, "replace", refuse)]
)
def test_saving_that_fails_leaves_the_old_file(
    save, tmp_path, monkeypatch, error, module, name, function
):
    path = tmp_path / "file"
    path.write_text("the old file")
    monkeypatch.setattr(module, name, function(error))
    with pytest.raises(type(error)) as caught:
        save(path)
    if error is FULL:
        assert str(caught.value) == (
            f"{path} could not be written (No space left on device): make room on the disk, or "
            "choose a place where you may write."
        )
    assert path.read_text() == "the old file"
    assert list(tmp_path.iterdir()) == [path], "no debris"


@pytest.mark.parametrize("place", ["a folder", "below a file", "no folder can be made"])
def test_a_place_that_cannot_be_written_to(save, tmp_path, monkeypatch, place):
    (tmp_path / "file").touch()
    path = tmp_path if place == "a folder" else tmp_path / "file" / "model.pt"
    if place == "no folder can be made":
        path = tmp_path / "new" / "model.pt"
        monkeypatch.setattr(Path, "mkdir", refuse(PermissionError(errno.EACCES, "Not for you")))
    with pytest.raises(OSError, match=r"could not be written \(.+\): make room") as caught:
        save(path)
    assert str(path) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_process_left_is_removed_later(save, tmp_path):
    """Another process may be writing the same file: only what is old is removed."""
    path, old, new, other = (
        tmp_path / name
        for name in ("m[1].pt", "m[1].pt.0123.part", "m[1].pt.4567.part", "m1.pt.0123.part")
    )
    for left in (old, new, other):
        left.touch()
    for left in (old, other):
        os.utime(left, (time.time() - 7200,) * 2)
    save(path)
    assert set(tmp_path.iterdir()) == {path, new, other}


def test_saving_again_replaces_the_file(saved, scratch, vocab):
    save_checkpoint(saved, scratch, vocab, run=2)
    assert load_checkpoint(saved)[2] == {"run": 2}
    assert [p.name for p in saved.parent.iterdir()] == ["model.pt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_file_is_as_readable_as_any_new_one(save, tmp_path):
    other, path = tmp_path / "other", tmp_path / "file"
    other.touch()
    save(path)
    assert path.stat().st_mode == other.stat().st_mode
