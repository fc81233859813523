"""The two models behind one interface, weights carried across, checkpoints."""

import io
import pickle
import re
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from gru_helpers import (
    CheckpointError,
    RNNModel,
    RNNModelScratch,
    Vocab,
    get_params,
    gru,
    gru_switched,
    init_gru_state,
    load_checkpoint,
    params_from_nn_gru,
    params_to_nn_gru,
    predict,
    save_checkpoint,
    try_gpu,
)

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


def after_form(inputs, state, params):
    """``gru_switched`` with the reset gate after the matrix product."""
    return gru_switched(inputs, state, params, reset="after")


def drawn(shapes, seed=0, scale=0.3, dtype=torch.float64):
    """Leaf tensors at random."""
    rng = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(shape, generator=rng, dtype=dtype) * scale).requires_grad_(True)
        for shape in shapes
    ]


def twelve(v=5, h=7, **look):
    """Parameters of the form after, ``b_hn`` last."""
    return drawn([(v, h), (h, h), (h,)] * 3 + [(h, v), (v,), (h,)], **look)


def eleven(v=5, h=7, **look):
    """Parameters of the form before."""
    return twelve(v, h, **look)[:11]


@pytest.fixture(params=LAYERS)
def layered(request):
    """A model around each kind of layer."""
    torch.manual_seed(3)
    return RNNModel(LAYERS[request.param](), 28)


@pytest.fixture
def ids():
    """A minibatch of token ids, ``(4, 9)``."""
    return torch.randint(0, 28, (4, 9), generator=torch.Generator().manual_seed(5))


# --- one interface -----------------------------------------------------------------------------


def check_interface(model, ids):
    """Shapes, a tuple for a state, and a state that carries on."""
    batch, steps = ids.shape
    state = model.begin_state(batch, CPU)
    assert isinstance(state, tuple)
    assert not any(s.any() for s in state)
    logits, new = model(ids, state)
    assert logits.shape == (steps * batch, 28)
    assert isinstance(new, tuple)
    assert [s.shape for s in new] == [s.shape for s in state]
    params = list(model.parameters())
    assert params
    assert all(p.is_leaf and p.requires_grad for p in params)
    return logits, new


def test_both_models_are_used_in_the_same_way(model, ids):
    logits, state = check_interface(model, ids)
    first, carried = model(ids[:, :4], model.begin_state(4, CPU))
    second, end = model(ids[:, 4:], carried)
    assert torch.allclose(torch.cat([first, second]), logits, atol=1e-6)
    assert torch.allclose(end[0], state[0], atol=1e-6)


def test_any_layer_is_used_in_the_same_way(layered, ids):
    check_interface(layered, ids)


@pytest.mark.parametrize("kind", [k for k in LAYERS if "both" not in k])
def test_the_state_carries_on_in_any_layer_that_reads_forwards(kind, ids):
    torch.manual_seed(3)
    model = RNNModel(LAYERS[kind](), 28)
    whole, _ = model(ids, model.begin_state(4, CPU))
    first, state = model(ids[:, :4], model.begin_state(4, CPU))
    second, _ = model(ids[:, 4:], state)
    assert torch.allclose(torch.cat([first, second]), whole, atol=1e-6)


def test_rows_of_the_output_go_with_the_labels_turned(model, ids):
    """Row i of step t stands at t * batch + i, where ``labels.T.reshape(-1)`` has its label."""
    logits, _ = model(ids, model.begin_state(4, CPU))
    alone, _ = model(ids[2:3], model.begin_state(1, CPU))
    assert torch.allclose(logits.reshape(9, 4, 28)[:, 2], alone, atol=1e-6)
    assert ids.T.reshape(-1)[5 * 4 + 2] == ids[2, 5]


def test_states_are_shaped_as_the_layers_have_them():
    def shapes(model):
        return [tuple(s.shape) for s in model.begin_state(4, CPU)]

    scratch = RNNModelScratch(28, 6, CPU, get_params, init_gru_state, gru)
    assert shapes(scratch) == [(4, 6)]
    assert shapes(RNNModel(LAYERS["GRU"](), 28)) == [(1, 4, 6)]
    assert shapes(RNNModel(LAYERS["GRU, three layers, both directions"](), 28)) == [(6, 4, 6)]
    assert shapes(RNNModel(LAYERS["LSTM"](), 28)) == [(1, 4, 6), (1, 4, 6)]
    assert shapes(RNNModel(LAYERS["LSTM, projected"](), 28)) == [(2, 4, 4), (2, 4, 6)]


def test_both_directions_feed_the_output_layer():
    """The last character must reach the prediction of the first step by the way back."""
    torch.manual_seed(3)
    model = RNNModel(nn.GRU(28, 6, bidirectional=True), 28)
    X = torch.zeros((1, 5), dtype=torch.int64)
    one, _ = model(X, model.begin_state(1, CPU))
    X[0, 4] = 9
    other, _ = model(X, model.begin_state(1, CPU))
    assert (one[0] - other[0]).abs().max() > 0


def test_the_state_has_the_type_of_the_parameters(model, ids):
    """A model in float64 starts and runs in float64."""
    if isinstance(model, RNNModel):
        model.double()
    else:
        model.params = [p.detach().double().requires_grad_(True) for p in model.params]
    state = model.begin_state(4, CPU)
    logits, _ = model(ids, state)
    assert state[0].dtype == logits.dtype == torch.float64


def test_parameter_counts_of_the_classic_sizes():
    def count(model):
        return sum(p.numel() for p in model.parameters())

    scratch = RNNModelScratch(28, 256, CPU, get_params, init_gru_state, gru)
    assert count(scratch) == 226_076
    assert count(RNNModel(nn.GRU(28, 256), 28)) == 226_844


def test_try_gpu_names_a_device_that_is_there():
    assert torch.zeros(1, device=try_gpu()).device.type == (
        "cuda" if torch.cuda.is_available() else "cpu"
    )


# --- equality with nn.GRU ----------------------------------------------------------------------


def loss_of(outputs, state):
    """A number in which every output and every state counts with a weight of its own."""
    flat = torch.cat([outputs.flatten(), state.flatten()])
    return (flat * torch.sin(torch.arange(len(flat), dtype=flat.dtype) + 1)).sum()


def nn_gradients(model):
    """The gradients of ``nn.GRU``, in the names and shapes of the equations.

    By the documentation of torch.nn.GRU: rows of the weights are r, z, n, and products are with
    the transpose. The reset and update gates add their two biases; the candidate keeps them apart.
    """
    h = model.rnn.hidden_size
    grads = {name: p.grad for name, p in model.rnn.named_parameters()}
    W_i, W_h = grads["weight_ih_l0"], grads["weight_hh_l0"]
    b_i, b_h = grads["bias_ih_l0"], grads["bias_hh_l0"]
    r, z, n = slice(0, h), slice(h, 2 * h), slice(2 * h, 3 * h)
    assert torch.allclose(b_i[: 2 * h], b_h[: 2 * h], rtol=1e-12)
    return {
        "W_xz": W_i[z].T, "W_hz": W_h[z].T, "b_z": b_i[z], "W_xr": W_i[r].T, "W_hr": W_h[r].T,
        "b_r": b_i[r], "W_xh": W_i[n].T, "W_hh": W_h[n].T, "b_h": b_i[n],
        "W_hq": model.linear.weight.grad.T, "b_q": model.linear.bias.grad, "b_hn": b_h[n],
    }  # fmt: skip


@settings(max_examples=25)
@given(
    v=st.integers(1, 6), h=st.integers(1, 8), batch=st.integers(1, 4), steps=st.integers(1, 8),
    scale=st.sampled_from([0.01, 0.3, 2.0]), seed=st.integers(0, 999),
)  # fmt: skip
def test_the_form_after_is_nn_gru_in_outputs_and_gradients(v, h, batch, steps, scale, seed):
    params = twelve(v, h, seed=seed, scale=scale)
    model = params_to_nn_gru(params)
    X = torch.randint(0, v, (batch, steps), generator=torch.Generator().manual_seed(seed))
    (H,) = drawn([(batch, h)], seed=seed + 1, scale=0.5)
    H_there = H.detach()[None].clone().requires_grad_(True)
    inputs = nn.functional.one_hot(X.T, v).double()
    outputs, (state,) = gru_switched(inputs, (H,), params, "keep", "after")
    there, (state_there,) = model(X, (H_there,))
    assert (outputs - there).abs().max() < 1e-12
    assert (state - state_there[0]).abs().max() < 1e-12
    loss_of(outputs, state).backward()
    loss_of(there, state_there[0]).backward()
    for param, (name, grad) in zip(params, nn_gradients(model).items(), strict=True):
        assert (param.grad - grad).abs().max() <= 1e-12 * max(1, grad.abs().max()), name
    assert (H.grad - H_there.grad[0]).abs().max() < 1e-12


@pytest.mark.parametrize(("scale", "low", "high"), [(0.3, 0.01, 10), (0.01, 1e-8, 1e-4)])
def test_the_form_before_is_something_else_which_hides_at_small_weights(scale, low, high):
    params = eleven(28, 64, scale=scale)
    X = torch.randint(0, 28, (4, 35), generator=torch.Generator().manual_seed(1))
    model = params_to_nn_gru(params)
    H = torch.zeros(4, 64, dtype=torch.float64)
    outputs, _ = gru(nn.functional.one_hot(X.T, 28).double(), (H,), params)
    there, _ = model(X, model.begin_state(4, CPU))
    assert low < (outputs - there).abs().max().item() < high


# --- weights there and back --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [eleven, twelve])
def test_there_and_back_to_the_bit(make, dtype):
    params = make(dtype=dtype)
    back = params_from_nn_gru(params_to_nn_gru(params))
    assert len(back) == 12
    for ours, theirs in zip(params, back, strict=False):
        assert theirs.dtype == dtype
        assert torch.equal(ours, theirs)
    if make is eleven:
        assert not back[11].any()
        assert all(
            torch.equal(a, b)
            for a, b in zip(
                params, params_from_nn_gru(params_to_nn_gru(params), "before"), strict=True
            )
        )


def test_a_trained_layer_goes_over_and_comes_back(ids):
    torch.manual_seed(2)
    model = RNNModel(nn.GRU(28, 6), 28).double()
    params = params_from_nn_gru(model)
    scratch = RNNModelScratch(28, 6, CPU, lambda *sizes: params, init_gru_state, after_form)
    H = torch.zeros(4, 6, dtype=torch.float64)
    expected, _ = model(ids, model.begin_state(4, CPU))
    assert (scratch(ids, (H,))[0] - expected).abs().max() < 1e-12
    again = params_to_nn_gru(params)
    assert (again(ids, again.begin_state(4, CPU))[0] - expected).abs().max() < 1e-12


def test_the_form_before_takes_both_candidate_biases_together():
    torch.manual_seed(2)
    model = RNNModel(nn.GRU(28, 6), 28)
    before, after = params_from_nn_gru(model, "before"), params_from_nn_gru(model, "after")
    assert len(before) == 11
    assert torch.allclose(before[8], after[8] + after[11])
    assert all(torch.equal(before[i], after[i]) for i in range(11) if i != 8)


def test_copies_are_fresh_leaves_that_share_nothing():
    model = params_to_nn_gru(eleven())
    copies = params_from_nn_gru(model)
    assert all(p.is_leaf and p.requires_grad and p.is_contiguous() for p in copies)
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in copies:
            p.add_(1)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(
    "layer",
    [nn.GRU(28, 6, 2), nn.GRU(28, 6, bidirectional=True), nn.LSTM(28, 6), nn.RNN(28, 6)],
    ids=["two layers", "both directions", "LSTM", "RNN"],
)
def test_layers_that_cannot_be_copied(layer):
    with pytest.raises(ValueError, match=r"cannot be copied: expected one nn\.GRU layer"):
        params_from_nn_gru(RNNModel(layer, 28))


def test_what_else_cannot_be_copied(scratch, concise):
    with pytest.raises(ValueError, match="cannot be copied"):
        params_from_nn_gru(scratch)
    with pytest.raises(ValueError, match="bias=False: expected one with biases"):
        params_from_nn_gru(RNNModel(nn.GRU(28, 6, bias=False), 28))
    with pytest.raises(ValueError, match="reset='later' is not known"):
        params_from_nn_gru(concise, "later")
    with pytest.raises(ValueError, match=r"9 parameters were given, and a GRU .* has 11"):
        params_to_nn_gru(eleven()[:9])
    with pytest.raises(ValueError, match="W_hz has shape"):
        params_to_nn_gru(eleven()[:1] + eleven()[2:3] * 10)


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_models_of_no_size(size):
    for sizes, name in (((size, 4), "vocab_size"), ((4, size), "num_hiddens")):
        with pytest.raises(ValueError, match=f"{name}={size} is not a size"):
            RNNModelScratch(*sizes, CPU, get_params, init_gru_state, gru)
    with pytest.raises(ValueError, match=f"vocab_size={size} is not a size"):
        RNNModel(nn.GRU(28, 6), size)


def test_a_state_for_no_rows(model):
    with pytest.raises(ValueError, match="batch_size=0 is not a size"):
        model.begin_state(0, CPU)


@pytest.mark.parametrize(
    ("layer", "words"),
    [(nn.Linear(28, 6), r"is a Linear; expected nn\.RNN, nn\.GRU or nn\.LSTM"),
     (nn.GRUCell(28, 6), r"is a GRUCell; expected nn\.RNN"),
     (nn.GRU(6, 28), r"takes 6 features.*expected 28"),
     (nn.GRU(28, 6, batch_first=True), r"batch_first=True; expected 28 .*and False")],
    ids=["no recurrent layer", "a cell", "another vocabulary", "batch first"],
)  # fmt: skip
def test_layers_that_do_not_fit(layer, words):
    with pytest.raises(ValueError, match=words):
        RNNModel(layer, 28)


@pytest.mark.parametrize("idx", [28, 1000, -1])
def test_ids_that_the_model_does_not_know(model, ids, idx):
    ids[1, 2] = idx
    with pytest.raises(ValueError, match=f"the id {idx}, .*from 0 to 27: was it made for another"):
        model(ids, model.begin_state(4, CPU))


@pytest.mark.parametrize("X", [torch.zeros(4, 9), torch.zeros(9, dtype=torch.int64)])
def test_what_is_no_minibatch_of_ids(model, X):
    expected = rf"shape {re.escape(str(tuple(X.shape)))} and type {X.dtype}; expected token ids"
    with pytest.raises(ValueError, match=expected + r".*\(batch_size, num_steps\)"):
        model(X, model.begin_state(4, CPU))


def test_a_state_for_another_number_of_rows(model, ids):
    with pytest.raises(ValueError, match=r"state.*shape.*(begin_state|init_gru_state)"):
        model(ids, model.begin_state(3, CPU))


def test_a_state_of_another_layer_s_shape(layered, ids):
    with pytest.raises(ValueError, match=r"state.* shape.*begin_state"):
        layered(ids, tuple(torch.zeros(9, 4, 6) for _ in layered.begin_state(4, CPU)))


def test_a_state_with_the_wrong_number_of_tensors(layered, ids):
    """One tensor for an LSTM, two for the others."""
    H = layered.begin_state(4, CPU)[0]
    state = (H,) if isinstance(layered.rnn, nn.LSTM) else (H, H)
    with pytest.raises(ValueError, match=r"state has .*begin_state"):
        layered(ids, state)


@pytest.mark.parametrize("state", [None, ()])
def test_no_state_at_all(model, ids, state):
    with pytest.raises(ValueError, match=r"state.*(begin_state|init_gru_state)"):
        model(ids, state)


# --- checkpoints -------------------------------------------------------------------------------


def scratch_of(params, forward_fn=gru):
    """A scratch model that holds ``params``."""
    v, h = params[0].shape
    return RNNModelScratch(v, h, CPU, lambda *sizes: params, init_gru_state, forward_fn)


CHECKPOINTED = {
    "scratch, 11": lambda: scratch_of(eleven(28, 6, dtype=torch.float32)),
    "scratch, 12": lambda: scratch_of(twelve(28, 6, dtype=torch.float32), after_form),
    **{name: lambda make=make: RNNModel(make(), 28) for name, make in LAYERS.items()},
}


@pytest.mark.parametrize("kind", CHECKPOINTED)
def test_a_checkpoint_gives_the_same_model_back(kind, tmp_path, vocab, ids):
    torch.manual_seed(4)
    model = CHECKPOINTED[kind]()
    path = save_checkpoint(tmp_path / "new" / "model.pt", model, vocab, lr=1.0, text="book")
    found, found_vocab, settings = load_checkpoint(path, vocab=vocab)
    assert type(found) is type(model)
    assert found_vocab == vocab
    assert settings == {"lr": 1.0, "text": "book"}
    for ours, theirs in zip(model.parameters(), found.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert theirs.is_leaf
        assert theirs.requires_grad
    expected, _ = model(ids, model.begin_state(4, CPU))
    assert torch.equal(found(ids, found.begin_state(4, CPU))[0], expected)
    assert predict("time", 9, found, vocab) == predict("time", 9, model, vocab)


def test_a_checkpoint_keeps_all_settings_of_the_layer(tmp_path, vocab):
    model = RNNModel(nn.GRU(28, 6, num_layers=2, dropout=0.25), 28)
    found, _, _ = load_checkpoint(save_checkpoint(tmp_path / "model.pt", model, vocab))
    assert repr(found.rnn) == repr(model.rnn)


def test_a_checkpoint_keeps_the_type_of_its_numbers(tmp_path, vocab):
    for model in (scratch_of(eleven(28, 6)), RNNModel(nn.GRU(28, 6), 28).double()):
        found, _, _ = load_checkpoint(save_checkpoint(tmp_path / "model.pt", model, vocab))
        assert {p.dtype for p in found.parameters()} == {torch.float64}


def test_a_loaded_model_can_be_trained_on(tmp_path, model, vocab, ids):
    found, _, _ = load_checkpoint(save_checkpoint(tmp_path / "model.pt", model, vocab))
    logits, _ = found(ids, found.begin_state(4, CPU))
    logits.sum().backward()
    torch.optim.SGD(found.parameters(), lr=1.0).step()
    assert any(
        not torch.equal(a, b) for a, b in zip(found.parameters(), model.parameters(), strict=True)
    )


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
    with pytest.raises(CheckpointError, match=r"something other than tensors and settings"):
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
    with pytest.raises(CheckpointError, match=r"cannot be read as a checkpoint.*[Ss]ave it again"):
        load_checkpoint(broken)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40))
def test_a_file_of_any_other_kind_is_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def rewritten(path, **changes):
    """The checkpoint with entries replaced, or left out where the change is ``None``."""
    content = torch.load(path, weights_only=True)
    content = {k: v for k, v in {**content, **changes}.items() if v is not None}
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "content", [[1, 2], {"a": torch.zeros(2)}, {"format": "other"}, torch.zeros(2)], ids=str
)
def test_what_is_no_checkpoint_of_this_package(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="is not a checkpoint written by save_checkpoint"):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "changes",
    [{"kind": {"class": "Mamba"}}, {"kind": {}}, {"num_hiddens": 9}, {"num_hiddens": "8"},
     {"tensors": {}}, {"tensors": {"W_xz": torch.zeros(28, 8)}}, {"tensors": [1, 2]},
     {"vocab": ["<unk>", "a"]}, {"vocab": ["a", "b"]}, {"vocab": []},
     {"vocab": None}, {"settings": None}, {"tensors": None}, {"kind": None},
     {"kind": {"class": "GRU", "num_layers": 1}}],
    ids=str,
)  # fmt: skip
def test_a_checkpoint_that_contradicts_itself(saved, changes):
    with pytest.raises(CheckpointError, match="does not fit together"):
        load_checkpoint(rewritten(saved, **changes))


def test_a_checkpoint_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*none\.pt: check the name"):
        load_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load_checkpoint(tmp_path)


def test_a_checkpoint_of_another_vocabulary(saved, vocab):
    other = Vocab(list("abc"))
    with pytest.raises(CheckpointError, match=r"another vocabulary \(28 tokens; this one has 4\)"):
        load_checkpoint(saved, vocab=other)
    same_size = Vocab.from_list(["<unk>", *reversed(vocab.idx_to_token[1:])])
    with pytest.raises(CheckpointError, match="another vocabulary"):
        load_checkpoint(saved, vocab=same_size)


def test_a_model_is_not_saved_with_another_vocabulary(tmp_path, scratch):
    with pytest.raises(CheckpointError, match=r"has 4 tokens and the model 28"):
        save_checkpoint(tmp_path / "model.pt", scratch, Vocab(list("abc")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
def test_saving_that_fails_leaves_the_old_file(saved, scratch, vocab, monkeypatch, error):
    before = saved.read_bytes()

    def fail(content, file):
        file.write(b"half a checkpoint")
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(type(error)):
        save_checkpoint(saved, scratch, vocab)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["model.pt"], "no debris"


def test_saving_again_replaces_the_file(saved, scratch, vocab):
    save_checkpoint(saved, scratch, vocab, run=2)
    assert load_checkpoint(saved)[2] == {"run": 2}
    assert [p.name for p in saved.parent.iterdir()] == ["model.pt"]


def test_a_checkpoint_is_tensors_text_and_numbers_only(saved):
    """Nothing in the file but names that the safe reader of torch knows."""
    with zipfile.ZipFile(io.BytesIO(saved.read_bytes())) as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        text = archive.read(name)
    assert b"gru_helpers\n" not in text
    assert b"RNNModel" not in text
