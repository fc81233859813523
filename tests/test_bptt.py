"""The backward pass by hand, against autograd, finite differences and the taught loop."""

import copy
import itertools
import re
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from gru_helpers import (
    GRU,
    PARAM_NAMES,
    RNNModelScratch,
    SeqDataLoader,
    evaluate_perplexity,
    fast_gru,
    get_params,
    gru,
    gru_backward,
    gru_forward,
    gru_switched,
    init_gru_state,
    load_checkpoint,
    params_to_nn_gru,
    predict,
    save_checkpoint,
    train,
)
from gru_helpers.bptt import _kept, free_memory

CPU = torch.device("cpu")
NAMES = ("inputs", "H", *PARAM_NAMES, "b_hn")
RESETS = pytest.mark.parametrize("reset", ["before", "after"])


def problem(seed, reset="before", steps=5, batch=3, vocab=4, hiddens=6, scale=0.7):
    """Inputs, a state and the parameters at random, float64, as one list of leaves."""
    rng = torch.Generator().manual_seed(seed)
    v, h = vocab, hiddens
    shapes = [(steps, batch, v), (batch, h), *[(v, h), (h, h), (h,)] * 3, (h, v), (v,)]
    shapes += [(h,)] if reset == "after" else []
    leaves = [torch.randn(s, generator=rng, dtype=torch.float64) * scale for s in shapes]
    return [leaf.requires_grad_() for leaf in leaves]


def fast(inputs, H, *params):
    """``fast_gru`` as a function of tensors."""
    outputs, (H_last,) = fast_gru(inputs, (H,), params)
    return outputs, H_last


def taught(inputs, H, *params):
    """What it must be equal to, as a function of tensors."""
    reset = "after" if len(params) == 12 else "before"
    outputs, (H_last,) = gru_switched(inputs, (H,), params, reset=reset)
    return outputs, H_last


def directions(results, seed=0):
    """A gradient at random for each of some results."""
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(r.shape, generator=rng, dtype=r.dtype) for r in results]


def gradients(function, leaves, seed=0):
    """The gradients of a loss that looks at the outputs and at the last state."""
    results = function(*leaves)
    return torch.autograd.grad(results, leaves, directions(results, seed))


def by_hand(leaves, reset):
    """The same gradients from ``gru_backward``."""
    inputs, H, *params = leaves
    with torch.no_grad():
        outputs, (H_last,), saved = gru_forward(inputs, (H,), params, reset)
        doutputs, dH = directions((outputs, H_last))
        dinputs, (dH_first,), dparams = gru_backward(doutputs, dH, saved, params, reset)
    return [dinputs, dH_first, *dparams]


def agree(found, expected, tolerance=1e-12):
    """Every tensor equal to its partner, relative to the partner's largest element."""
    for name, a, b in zip(NAMES, found, expected, strict=False):
        assert a.shape == b.shape
        bound = tolerance * max(1.0, b.abs().max().item())
        assert (a - b).abs().max().item() <= bound, name
    assert len(found) == len(expected)


sizes = {
    "steps": st.integers(1, 6), "batch": st.integers(1, 4), "vocab": st.integers(1, 5),
    "hiddens": st.integers(1, 6), "scale": st.sampled_from([0.01, 0.3, 1.0, 4.0]),
    "seed": st.integers(0, 10_000),
}  # fmt: skip


# --- equal to autograd -------------------------------------------------------------------------


@RESETS
@given(**sizes)
def test_both_passes_are_those_of_the_taught_loop(reset, **case):
    leaves = problem(reset=reset, **case)
    expected = gradients(taught, leaves)
    agree(fast(*leaves), taught(*leaves))
    agree(gru_forward(leaves[0], leaves[1:2], leaves[2:], reset)[0], taught(*leaves)[0])
    agree(gradients(fast, leaves), expected)
    agree(by_hand(leaves, reset), expected)


@RESETS
@given(**sizes)
def test_token_ids_are_one_hot_vectors(reset, **case):
    _, H, *params = problem(reset=reset, **case)
    rng = torch.Generator().manual_seed(case["seed"])
    ids = torch.randint(0, case["vocab"], (case["steps"], case["batch"]), generator=rng)
    inputs = F.one_hot(ids, case["vocab"]).double()
    expected = gradients(lambda *rest: taught(inputs, *rest), [H, *params])
    found = gradients(lambda *rest: fast(ids, *rest), [H, *params])
    agree([ids, *found], [ids, *expected])
    agree(gradients(lambda *rest: fast(ids.int(), *rest), [H, *params]), found)


def test_gru_backward_is_that_of_gru_itself():
    leaves = problem(1)
    expected = gradients(lambda x, H, *params: (gru(x, (H,), params)[0], H), leaves)
    inputs, H, *params = leaves
    outputs, _, saved = gru_forward(inputs, (H,), params)
    (doutputs, dH) = directions((outputs, H))
    _, _, dparams = gru_backward(doutputs, torch.zeros_like(dH), saved, params)
    agree([inputs, H, *dparams], [inputs, H, *expected[2:]])


@RESETS
def test_finite_differences_agree(reset):
    leaves = problem(2, reset, steps=3, batch=2, vocab=3, hiddens=3)
    assert torch.autograd.gradcheck(fast, leaves)


@RESETS
def test_the_last_bit_is_the_same_each_time(reset):
    leaves = problem(3, reset)
    first = gradients(fast, leaves)
    assert all(torch.equal(a, b) for a, b in zip(gradients(fast, leaves), first, strict=True))


@RESETS
def test_a_thousand_steps(reset):
    leaves = problem(4, reset, steps=1000, batch=2, hiddens=4, scale=0.5)
    expected = gradients(taught, leaves)
    agree(gradients(fast, leaves), expected, 1e-11)
    agree(by_hand(leaves, reset), expected, 1e-11)


@RESETS
@pytest.mark.parametrize("gates", list(itertools.product((-1000.0, 1000.0), repeat=2)), ids=str)
def test_saturated_gates(reset, gates):
    leaves = problem(5, reset)
    with torch.no_grad():
        leaves[4] += gates[0]  # b_z
        leaves[7] += gates[1]  # b_r
    found = gradients(fast, leaves)
    assert all(torch.isfinite(g).all() for g in found)
    agree(found, gradients(taught, leaves))
    agree(by_hand(leaves, reset), found)
    if gates[0] > 0:
        assert torch.equal(fast(*leaves)[1], leaves[1]), "Z = 1 keeps the state to the last bit"


@RESETS
def test_single_precision(reset):
    leaves = [x.detach().float().requires_grad_() for x in problem(6, reset, steps=20, hiddens=16)]
    agree(gradients(fast, leaves), gradients(taught, leaves), 2e-5)
    assert fast(*leaves)[0].dtype == torch.float32


@RESETS
def test_tensors_that_are_not_contiguous(reset):
    leaves = problem(7, reset)
    expected = gradients(taught, leaves)
    spread = []
    for leaf in leaves:  # every second number of the last axis, behind a transpose
        wide = torch.zeros(*leaf.shape[:-1], 2 * leaf.shape[-1], dtype=leaf.dtype)
        view = wide.transpose(0, -1).contiguous().transpose(0, -1)[..., ::2]
        spread.append(view.copy_(leaf.detach()).requires_grad_())
    assert not any(x.is_contiguous() for x in spread if x.dim() > 1)
    agree(gradients(fast, spread), expected)
    ids = torch.randint(0, 4, (3, 5)).T
    agree(fast(ids, *leaves[1:]), fast(ids.contiguous(), *leaves[1:]))


def test_gradients_that_are_expanded_scalars():
    leaves = problem(8)
    found, expected = (torch.autograd.grad(f(*leaves)[0].sum(), leaves) for f in (fast, taught))
    agree(found, expected)


# --- what autograd may do with it --------------------------------------------------------------


@RESETS
def test_only_what_is_asked_for_has_a_gradient(reset):
    leaves = problem(9, reset)
    expected = gradients(taught, leaves)
    for place, leaf in enumerate(leaves):
        others = [x.detach() for x in leaves]
        others[place] = leaf
        results = fast(*others)
        (found,) = torch.autograd.grad(results, [leaf], directions(results))
        assert (found - expected[place]).abs().max() < 1e-12, NAMES[place]


@pytest.mark.parametrize("part", [0, 1], ids=["outputs", "state"])
def test_a_loss_that_looks_at_one_result_only(part):
    leaves = problem(10)
    wanted = leaves[:11] if part == 1 else leaves  # the state knows nothing of the output layer
    found, expected = (
        torch.autograd.grad(f(*leaves)[part].square().sum(), wanted) for f in (fast, taught)
    )
    agree(found, expected)


@RESETS
def test_two_calls_before_the_first_backward(reset):
    one, two = problem(11, reset), problem(12, reset)
    results = [fast(*one), fast(*two), fast(*one)]
    expected = {id(one): gradients(taught, one), id(two): gradients(taught, two)}
    for leaves, result in zip((one, two, one), results, strict=True):
        found = torch.autograd.grad(result, leaves, directions(result))
        agree(found, expected[id(leaves)])


def test_the_state_carries_gradients_from_one_call_to_the_next():
    inputs, *rest = problem(13, steps=8)

    def halves(inputs, H, *params):
        first, H = fast(inputs[:4], H, *params)
        second, H = fast(inputs[4:], H, *params)
        return torch.cat([first, second]), H

    agree(gradients(halves, [inputs, *rest]), gradients(taught, [inputs, *rest]))


def test_it_may_be_part_of_a_larger_graph():
    """Outputs of one are inputs of the next, with the same weights."""
    leaves = problem(14)

    def stacked(layer, inputs, H, *params):
        outputs, H = layer(inputs.tanh(), H, *params)
        return layer(outputs.view_as(inputs).sin(), H.cos(), *params)

    found, expected = (gradients(lambda *x, f=f: stacked(f, *x), leaves) for f in (fast, taught))
    agree(found, expected)


@RESETS
def test_a_graph_that_is_kept_can_be_used_again(reset):
    leaves = problem(15, reset)
    results = fast(*leaves)
    expected = gradients(taught, leaves)
    for keep in (True, True, False):
        found = torch.autograd.grad(results, leaves, directions(results), retain_graph=keep)
        agree(found, expected)
        gradients(fast, problem(16, reset))  # of the same sizes, so it uses the same memory
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(results, leaves, directions(results))


@RESETS
def test_gradients_can_be_differentiated(reset):
    leaves = problem(16, reset, steps=2, batch=2, vocab=2, hiddens=2)
    assert torch.autograd.gradgradcheck(fast, leaves)
    ids = torch.tensor([[0, 1], [1, 1]])
    assert torch.autograd.gradgradcheck(lambda *rest: fast(ids, *rest), leaves[1:])


def test_second_derivatives_where_arguments_depend_on_each_other():
    """W_hr is made from W_hz, and H is used for a bias too."""
    leaves = problem(17)

    def tied(layer):
        inputs, H, *params = leaves
        params[4], params[2] = params[1].sin(), H.sum(dim=0)
        first = torch.autograd.grad(
            layer(inputs, H, *params)[0].square().sum(), [params[1], H], create_graph=True
        )
        return torch.autograd.grad(sum(g.square().sum() for g in first), [params[1], H])

    agree(tied(fast), tied(taught))


def test_a_parameter_that_was_changed_is_noticed():
    leaves = problem(18)
    results = fast(*leaves)
    with torch.no_grad():
        leaves[3].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(results, leaves, directions(results))


# --- memory ------------------------------------------------------------------------------------


def test_without_gradients_nothing_is_recorded():
    leaves = problem(19)
    free_memory()
    with torch.inference_mode():  # its tensors may not be written to by anyone else
        again = fast(*leaves)
    with torch.no_grad():
        found = fast(*leaves)
    constant = fast(*(x.detach() for x in leaves))
    for outputs, H in (found, again, constant):
        assert not outputs.requires_grad
        agree([outputs, H], taught(*leaves))
    agree(gradients(fast, leaves), gradients(taught, leaves))


def test_results_are_not_overwritten_by_the_next_call():
    leaves = problem(20)
    results = fast(*leaves)
    grads = torch.autograd.grad(results, leaves, directions(results))
    before = copy.deepcopy([*(r.detach() for r in results), *grads])
    for seed in range(21, 25):
        gradients(fast, problem(seed))
    agree([*(r.detach() for r in results), *grads], before, 0.0)


def test_memory_is_used_again_and_bounded():
    free_memory()
    for _ in range(3):
        gradients(fast, problem(26))
    assert len(_kept.free) == 2, "one forward, one backward"
    for steps in range(1, 9):
        gradients(fast, problem(27, steps=steps))
    assert len(_kept.free) == 4
    free_memory()
    assert not _kept.free


@RESETS
def test_nothing_is_tied_to_the_cpu(reset):
    """The device "meta" has shapes and no numbers, and refuses to work with tensors that have."""
    leaves = [x.detach().to("meta").requires_grad_() for x in problem(28, reset)]
    free_memory()
    results = fast(*leaves)
    found = torch.autograd.grad(results, leaves, [torch.empty_like(r) for r in results])
    assert [(g.shape, g.device) for g in found] == [(x.shape, x.device) for x in leaves]
    assert not _kept.free, "memory is kept on the CPU only"


def test_two_threads_do_not_share_memory():
    cases = {seed: problem(seed, steps=20, hiddens=8) for seed in (28, 29)}
    expected = {seed: gradients(taught, leaves) for seed, leaves in cases.items()}
    wrong, start = [], threading.Barrier(2)
    gradients(fast, problem(28))
    assert _kept.free, "this thread keeps something, the others begin with nothing"

    def work(seed):
        wrong.extend(_kept.free)
        start.wait()
        for _ in range(30):
            try:
                agree(gradients(fast, cases[seed]), expected[seed])
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- as a model --------------------------------------------------------------------------------

TEXT = "the time traveller for so it will be convenient to speak of him was expounding " * 8


@pytest.fixture
def loader(vocab):
    return SeqDataLoader(vocab[list(TEXT)], vocab, 4, 10, offset=0)


@pytest.fixture
def params():
    torch.manual_seed(30)
    return get_params(28, 16, CPU)


def scratch_model(params, forward_fn):
    """An ``RNNModelScratch`` with a copy of ``params``."""

    def copied(*_):
        return [p.detach().clone().requires_grad_() for p in params]

    return RNNModelScratch(28, params[0].shape[1], CPU, copied, init_gru_state, forward_fn)


def test_training_gives_the_same_perplexities_as_the_taught_loop(params, loader, vocab):
    histories, models = [], []
    for model in (
        scratch_model(params, gru), scratch_model(params, fast_gru), GRU(28, 16, params=params)
    ):  # fmt: skip
        torch.manual_seed(31)
        history = train(model, loader, vocab, 12, 1.0, progress=False, heldout_iter=loader)
        histories.append(history)
        models.append(model)
    expected = histories[0]
    assert expected.perplexity[-1] < 0.8 * expected.perplexity[0]
    for history in histories[1:]:
        assert history.perplexity == pytest.approx(expected.perplexity, rel=1e-4)
        assert history.heldout[-1][1] == pytest.approx(expected.heldout[-1][1], rel=1e-3)
        assert history.samples == expected.samples


@RESETS
def test_the_model_is_used_as_the_others_are(reset, loader, vocab):
    torch.manual_seed(32)
    model = GRU(28, 16, reset)
    first = evaluate_perplexity(model, loader)
    history = train(model, loader, vocab, 15, 0.05, optimizer=torch.optim.Adam, progress=False)
    assert evaluate_perplexity(model, loader) < history.perplexity[0] < 1.2 * first
    text = predict("time", 5, model, vocab)
    assert text.startswith("time")
    assert len(text) == 9
    assert isinstance(model(torch.tensor([[1]]), model.begin_state(1, CPU))[1], tuple)


def test_the_form_after_is_nn_gru():
    torch.manual_seed(33)
    model = GRU(7, 9, "after", dtype=torch.float64)
    other = params_to_nn_gru(model.params)
    X = torch.randint(0, 7, (3, 11))
    (H,) = model.begin_state(3, CPU)
    logits, (H_last,) = model(X, (H + 0.3,))
    expected, (H_other,) = other(X, (H[None] + 0.3,))
    assert (logits - expected).abs().max() < 1e-14
    assert (H_last - H_other[0]).abs().max() < 1e-14
    for m, result in ((model, logits), (other, expected)):
        F.cross_entropy(result, X.T.reshape(-1)).backward()
        assert all(p.grad is not None for p in m.parameters())
    # rows of the weights of nn.GRU are r, z, n
    grads = dict(zip(NAMES[2:], (p.grad for p in model.params), strict=True))
    for kind, names in (("ih", ("W_xr", "W_xz", "W_xh")), ("hh", ("W_hr", "W_hz", "W_hh"))):
        found = torch.cat([grads[name] for name in names], dim=1).T
        assert (found - getattr(other.rnn, f"weight_{kind}_l0").grad).abs().max() < 1e-14


def test_the_model_takes_vectors_too(params):
    model = GRU(28, 16, params=params)
    X = torch.randint(0, 28, (3, 5))
    state = model.begin_state(3, CPU)
    found, _ = model(F.one_hot(X, 28).float(), state)
    assert torch.allclose(found, model(X, state)[0], atol=1e-6)


def test_new_parameters_are_drawn_as_those_of_nn_gru():
    torch.manual_seed(34)
    model = GRU(28, 64, "after")
    assert [name for name, _ in model.named_parameters()] == list(NAMES[2:])
    assert all(p.is_leaf and p.requires_grad for p in model.parameters())
    for p in model.params:
        assert p.abs().max() <= 1 / 8
    assert model.W_hh.max() > 0.12
    assert model.W_hh.min() < -0.12
    assert repr(model) == "GRU(28, 64, reset='after')"


def test_given_parameters_are_copied(params):
    model = GRU(28, 16, params=params)
    with torch.no_grad():
        params[0].add_(1)
    assert not torch.allclose(model.W_xz, params[0])
    model = GRU(28, 16, params=params, dtype=torch.float64)
    assert model.W_xz.dtype == model.begin_state(1, CPU)[0].dtype == torch.float64


@RESETS
def test_checkpoints_hold_it_as_a_scratch_model(reset, tmp_path, vocab):
    torch.manual_seed(35)
    model = GRU(28, 16, reset)
    loaded, _, settings = load_checkpoint(save_checkpoint(tmp_path / "m.pt", model, vocab, lr=1))
    X = torch.randint(0, 28, (2, 6))
    state = model.begin_state(2, CPU)
    assert torch.allclose(loaded(X, state)[0], model(X, state)[0], atol=1e-6)
    assert settings == {"lr": 1}
    other = GRU(28, 16, reset)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(X, state)[0], model(X, state)[0])


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "words"),
    [(torch.zeros(5, 3, 7).double(), r"shape \(5, 3, 7\).*expected \(num_steps, batch_size, 4\)"),
     (torch.zeros(3, 4).double(), r"shape \(3, 4\) and type torch.float64.*or token ids"),
     (torch.zeros(5, 3, 4), r"The inputs: torch.float32 on cpu; expected torch.float64.*\.to\("),
     (torch.zeros(0, 3, 4).double(), "The inputs have 0 steps: give at least one"),
     (torch.full((5, 3), 4), r"the id 4, and this model knows ids from 0 to 3")],
    ids=["another vocabulary", "one step", "type", "no steps", "unknown id"],
)  # fmt: skip
def test_inputs_that_do_not_fit(inputs, words):
    _, H, *params = problem(36)
    with pytest.raises(ValueError, match=words):
        fast_gru(inputs, (H,), params)


def test_states_and_parameters_that_do_not_fit():
    inputs, H, *params = problem(37)
    with pytest.raises(ValueError, match=r"H has shape \(2, 6\); expected \(3, 6\)"):
        fast_gru(inputs, (H[:2],), params)
    with pytest.raises(ValueError, match=r"expected a tuple \(H,\)"):
        fast_gru(inputs, H, params)
    with pytest.raises(ValueError, match=r"The state H: torch\.float32"):
        fast_gru(inputs, (H.float(),), params)
    with pytest.raises(ValueError, match=r"W_hr has shape \(6, 5\); expected \(6, 6\)"):
        fast_gru(inputs, (H,), [*params[:4], params[4][:, :5], *params[5:]])
    with pytest.raises(ValueError, match=r"b_q: torch\.float16 on cpu; expected torch\.float64"):
        fast_gru(inputs, (H,), [*params[:10], params[10].half()])
    with pytest.raises(ValueError, match="10 parameters were given"):
        fast_gru(inputs, (H,), params[:10])


def test_what_gru_forward_and_gru_backward_refuse():
    inputs, H, *params = problem(38)
    outputs, (H_last,), saved = gru_forward(inputs, (H,), params)
    for reset, words in (
        ("later", r"reset='later' is not known: use 'before' or 'after'"),
        ("after", r"reset='after' was given 11 parameters.*'after' takes those and b_hn"),
    ):
        with pytest.raises(ValueError, match=words):
            gru_forward(inputs, (H,), params, reset)
        with pytest.raises(ValueError, match=words):
            gru_backward(outputs, H_last, saved, params, reset)
    with pytest.raises(ValueError, match=r"token ids of shape \(5, 3\); expected one-hot vectors"):
        gru_forward(torch.zeros(5, 3, dtype=torch.int64), (H,), params)
    with pytest.raises(ValueError, match=r"doutputs has shape \(5, 3, 4\); expected \(15, 4\)"):
        gru_backward(outputs.view(5, 3, 4), H_last, saved, params)
    with pytest.raises(ValueError, match=r"dH has shape \(3,\); expected \(3, 6\).*give zeros"):
        gru_backward(outputs, H_last[:, 0], saved, params)
    with pytest.raises(ValueError, match="saved is empty"):
        gru_backward(outputs, H_last, [], params)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"vocab_size": 0}, "vocab_size=0 is not a size"),
     ({"num_hiddens": 2.5}, "num_hiddens=2.5 is not a size"),
     ({"reset": "never"}, "reset='never' is not known: use 'before' or 'after'"),
     ({"reset": "after", "params": problem(0)[2:]}, "reset='after' was given 11 parameters"),
     ({"params": problem(0, vocab=5)[2:]}, r"W_xz has shape \(5, 6\); expected \(4, 6\)")],
    ids=str,
)  # fmt: skip
def test_models_that_cannot_be_made(arguments, words):
    with pytest.raises(ValueError, match=words):
        GRU(**{"vocab_size": 4, "num_hiddens": 6, **arguments})


@pytest.mark.parametrize(
    "X",
    [torch.zeros(3), torch.zeros(2, 3), torch.zeros(1, 2, 3, 4), torch.zeros(3).long()],
    ids=str,
)
def test_inputs_that_the_model_does_not_take(X):
    model = GRU(4, 6)
    shape = re.escape(str(tuple(X.shape)))
    with pytest.raises(ValueError, match=rf"X has shape {shape}.*expected token ids"):
        model(X, model.begin_state(2, CPU))
    with pytest.raises(ValueError, match="batch_size=0 is not a size"):
        model.begin_state(0, CPU)
