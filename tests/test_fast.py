"""The fast form of the GRU: against the reference and the taught loop, and what autograd may do."""

import copy
import itertools

import pytest
import reference
import torch
from hypothesis import given, settings
from reference import NAMES, agree, directions, problem, refused_both_ways, sizes
from torch.nn import functional as F

from gru_helpers import (
    FastGRUModel,
    RNNModelScratch,
    SeqDataLoader,
    evaluate_perplexity,
    fast_gru,
    get_params,
    gru,
    gru_switched,
    init_gru_state,
    load_checkpoint,
    predict,
    save_checkpoint,
    train,
)

CPU = torch.device("cpu")
RESETS = pytest.mark.parametrize("reset_after", [False, True])


def leaves_of(seed, reset_after=False, **case):
    """Inputs, a state and the parameters at random, as leaves."""
    return [x.requires_grad_() for x in problem(seed, reset_after, **case)]


def fast(inputs, H, *params):
    """``fast_gru`` as a function of tensors."""
    outputs, (H_last,) = fast_gru(inputs, (H,), params)
    return outputs, H_last


def taught(inputs, H, *params):
    """What it must be equal to, as a function of tensors."""
    outputs, (H_last,) = gru_switched(inputs, (H,), params, reset_after=len(params) == 12)
    return outputs, H_last


def gradients(function, leaves, seed=0):
    """The gradients of a loss that looks at the outputs and at the last state."""
    results = function(*leaves)
    return torch.autograd.grad(results, leaves, directions(results, seed))


# --- equal to the reference, and to autograd ----------------------------------------------------


@RESETS
@settings(max_examples=30)
@given(**sizes)
def test_both_passes_are_those_of_the_reference(reset_after, **case):
    leaves = leaves_of(reset_after=reset_after, **case)
    results = fast(*leaves)
    agree(results, reference.outputs(leaves[0], leaves[1], leaves[2:]))
    weights = directions(results, case["seed"])
    found = torch.autograd.grad(results, leaves, weights)
    agree(found, reference.gradients(leaves, *weights))


@RESETS
@settings(max_examples=30)
@given(**sizes)
def test_token_ids_are_one_hot_vectors(reset_after, **case):
    _, *leaves = leaves_of(reset_after=reset_after, **case)
    rng = torch.Generator().manual_seed(case["seed"])
    ids = torch.randint(0, case["vocab"], (case["steps"], case["batch"]), generator=rng)
    inputs = F.one_hot(ids, case["vocab"]).double()
    agree(fast(ids, *leaves), taught(inputs, *leaves))
    expected = gradients(lambda *rest: taught(inputs, *rest), leaves)
    for given_ids in (ids, ids.int(), ids.to(torch.uint8)):
        agree(gradients(lambda *rest, ids=given_ids: fast(ids, *rest), leaves), expected)


@RESETS
def test_first_and_second_derivatives_are_finite_differences(reset_after):
    leaves = leaves_of(1, reset_after, steps=2, batch=2, vocab=2, hiddens=2)
    assert torch.autograd.gradcheck(fast, leaves)
    assert torch.autograd.gradgradcheck(fast, leaves)
    ids = torch.tensor([[0, 1], [1, 1]])
    assert torch.autograd.gradgradcheck(lambda *rest: fast(ids, *rest), leaves[1:])


@RESETS
def test_gradients_are_the_same_with_a_graph_of_their_own(reset_after):
    """``create_graph=True`` takes another way to them."""
    leaves, ids = leaves_of(21, reset_after), torch.randint(0, 4, (5, 3))
    for wanted, results in ((leaves, fast(*leaves)), (leaves[1:], fast(ids, *leaves[1:]))):
        weights = directions(results)
        found = torch.autograd.grad(results, wanted, weights, create_graph=True)
        agree(found, torch.autograd.grad(results, wanted, weights))
        assert found[0].requires_grad


@RESETS
def test_the_last_bit_is_the_same_each_time(reset_after):
    leaves = leaves_of(2, reset_after)
    agree(gradients(fast, leaves), gradients(fast, leaves), 0.0)


@RESETS
def test_a_thousand_steps(reset_after):
    leaves = leaves_of(3, reset_after, steps=1000, batch=2, hiddens=4, scale=0.5)
    agree(gradients(fast, leaves), gradients(taught, leaves), 1e-11)


@RESETS
@pytest.mark.parametrize("gates", list(itertools.product((-1000.0, 1000.0), repeat=2)), ids=str)
def test_saturated_gates(reset_after, gates):
    leaves = leaves_of(4, reset_after)
    with torch.no_grad():
        leaves[4] += gates[0]  # b_z
        leaves[7] += gates[1]  # b_r
    found = gradients(fast, leaves)
    assert all(torch.isfinite(g).all() for g in found)
    agree(found, gradients(taught, leaves))
    if gates[0] > 0:
        assert torch.equal(fast(*leaves)[1], leaves[1]), "Z = 1 keeps the state to the last bit"


@RESETS
def test_single_precision(reset_after):
    leaves = [x.float().requires_grad_() for x in problem(5, reset_after, steps=20, hiddens=16)]
    agree(gradients(fast, leaves), gradients(taught, leaves), 2e-5)
    assert fast(*leaves)[0].dtype == torch.float32


@RESETS
def test_tensors_that_are_not_contiguous(reset_after):
    leaves = leaves_of(6, reset_after)
    spread = []
    for leaf in leaves:  # every second number of the last axis, behind a transpose
        wide = torch.zeros(*leaf.shape[:-1], 2 * leaf.shape[-1], dtype=leaf.dtype)
        view = wide.transpose(0, -1).contiguous().transpose(0, -1)[..., ::2]
        spread.append(view.copy_(leaf.detach()).requires_grad_())
    assert not any(x.is_contiguous() for x in spread if x.dim() > 1)
    agree(gradients(fast, spread), gradients(taught, leaves))
    ids = torch.randint(0, 4, (3, 5)).T
    agree(fast(ids, *leaves[1:]), fast(ids.contiguous(), *leaves[1:]))


@RESETS
def test_nothing_is_tied_to_the_cpu(reset_after):
    """The device "meta" has shapes and no numbers, and refuses to work with tensors that have."""
    leaves = [x.to("meta").requires_grad_() for x in problem(7, reset_after)]
    results = fast(*leaves)
    found = torch.autograd.grad(results, leaves, [torch.empty_like(r) for r in results])
    assert [(g.shape, g.device) for g in found] == [(x.shape, x.device) for x in leaves]


# --- what autograd may do with it ---------------------------------------------------------------


@RESETS
def test_only_what_is_asked_for_has_a_gradient(reset_after):
    leaves = leaves_of(8, reset_after)
    expected = gradients(taught, leaves)
    for place, leaf in enumerate(leaves):
        others = [x.detach() for x in leaves]
        others[place] = leaf
        results = fast(*others)
        agree(torch.autograd.grad(results, [leaf], directions(results)), [expected[place]])


@pytest.mark.parametrize("part", [0, 1], ids=["outputs", "state"])
def test_a_loss_that_looks_at_one_result_only(part):
    leaves = leaves_of(9)
    wanted = leaves[:11] if part == 1 else leaves  # the state knows nothing of the output layer
    for loss in (lambda y: y.square().sum(), lambda y: y.sum()):  # the second: expanded scalars
        found, expected = (
            torch.autograd.grad(loss(f(*leaves)[part]), wanted) for f in (fast, taught)
        )
        agree(found, expected)


@RESETS
def test_several_calls_before_the_first_backward(reset_after):
    one, two = leaves_of(10, reset_after), leaves_of(11, reset_after)
    calls = [(leaves, fast(*leaves)) for leaves in (one, two, one)]
    for leaves, results in calls:
        found = torch.autograd.grad(results, leaves, directions(results))
        agree(found, gradients(taught, leaves))


def test_it_may_be_part_of_a_larger_graph():
    """Outputs of one are inputs of the next, with the same weights."""
    leaves = leaves_of(13)

    def stacked(layer, inputs, H, *params):
        outputs, H = layer(inputs.tanh(), H, *params)
        return layer(outputs.view_as(inputs).sin(), H.cos(), *params)

    found, expected = (gradients(lambda *x, f=f: stacked(f, *x), leaves) for f in (fast, taught))
    agree(found, expected)


@RESETS
def test_a_graph_can_be_used_again_only_if_it_was_kept(reset_after):
    leaves = leaves_of(14, reset_after)
    results, expected = fast(*leaves), gradients(taught, leaves)
    for keep in (True, True, False):
        found = torch.autograd.grad(results, leaves, directions(results), retain_graph=keep)
        agree(found, expected)
        gradients(fast, leaves_of(15, reset_after))  # of the same sizes
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(results, leaves, directions(results))
    results = fast(*leaves)
    sum(r.sum() for r in results).backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        results[0].sum().backward()


def test_what_backward_needs_is_saved_where_autograd_can_see_it():
    """``saved_tensors_hooks`` (offloading, checkpoints) see all of it, and may replace it."""
    leaves = leaves_of(16)
    packed = []

    def pack(tensor):
        packed.append(tensor)
        return len(packed) - 1

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda place: packed[place].clone()):
        results = fast(*leaves)
    saved = {tuple(x.shape) for x in packed}
    assert {(5, 3, 18), (6, 3, 6), (5, 3, 6)} <= saved, "gates, states, and what is multiplied"
    found = torch.autograd.grad(results, leaves, directions(results))
    agree(found, gradients(taught, leaves))


def test_second_derivatives_where_arguments_depend_on_each_other():
    """W_hr is made from W_hz, and H is used for a bias too."""
    leaves = leaves_of(17)

    def tied(layer):
        inputs, H, *params = leaves
        params[4], params[2] = params[1].sin(), H.sum(dim=0)
        first = torch.autograd.grad(
            layer(inputs, H, *params)[0].square().sum(), [params[1], H], create_graph=True
        )
        return torch.autograd.grad(sum(g.square().sum() for g in first), [params[1], H])

    agree(tied(fast), tied(taught))


@pytest.mark.parametrize("place", range(13), ids=["inputs", "H", *NAMES[:11]])
def test_an_argument_that_was_changed_is_noticed(place):
    leaves = leaves_of(18)
    results = fast(*leaves)
    with torch.no_grad():
        leaves[place].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(results, leaves, directions(results))


# --- what PyTorch makes of a call ----------------------------------------------------------------


@RESETS
def test_under_autocast_it_is_the_taught_loop(reset_after):
    leaves = [x.float().requires_grad_() for x in problem(22, reset_after)]
    exact = fast(*leaves)
    with torch.autocast("cpu", torch.bfloat16):
        results, expected = fast(*leaves), taught(*leaves)
        with torch.no_grad():
            agree(fast(*leaves), expected, 0.0)
    agree(results, expected, 0.0)
    assert not torch.equal(results[0], exact[0]), "products are taken in bfloat16"
    found, wanted = (
        torch.autograd.grad(made, leaves, directions(made)) for made in (results, expected)
    )
    agree(found, wanted, 0.0)


@pytest.fixture
def called():
    """A model, its parameters by name, and a function of these and of token ids."""
    torch.manual_seed(23)
    model = FastGRUModel(4, 6, dtype=torch.float64)
    params = {name: param.detach() for name, param in model.named_parameters()}

    def loss(params, X):
        return torch.func.functional_call(model, params, (X,))[0].square().mean()

    return model, params, loss


# torch compiles its rules of forward differentiation in a way that it calls old
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_under_the_transforms_of_torch_func_it_is_the_taught_loop(called):
    model, params, loss = called
    X = torch.randint(0, 4, (3, 2, 5))
    single = [loss(dict(model.named_parameters()), x) for x in X]
    grads = [torch.autograd.grad(value, model.params) for value in single]
    first = torch.func.grad(loss)(params, X[0])
    agree(first.values(), grads[0])
    per_sample = torch.func.vmap(torch.func.grad(loss), (None, 0))(params, X)
    agree(per_sample.values(), [torch.stack(g) for g in zip(*grads, strict=True)])
    ensemble = {name: torch.stack([param, 2 * param]) for name, param in params.items()}
    found = torch.func.vmap(loss, (0, None))(ensemble, X[0])
    doubled = loss({name: 2 * param for name, param in params.items()}, X[0])
    agree([found], [torch.stack([single[0], doubled])])
    _, change = torch.func.jvp(lambda params: loss(params, X[0]), (params,), (first,))
    agree([change], [sum(g.square().sum() for g in grads[0])])


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="PyTorch is too old")
def test_it_can_be_exported(called):
    model, _, _ = called
    X, Y = torch.randint(0, 4, (2, 2, 5))
    exported = torch.export.export(model, (X,)).module()
    agree([exported(Y)[0]], [model(Y)[0]])


# --- memory -------------------------------------------------------------------------------------


def test_without_gradients_nothing_is_recorded():
    leaves = leaves_of(19)
    expected = taught(*leaves)
    with torch.inference_mode():
        inferred = fast(*leaves)
    with torch.no_grad():
        found = fast(*leaves)
    constant = fast(*(x.detach() for x in leaves))
    for results in (inferred, found, constant):
        assert not any(r.requires_grad for r in results)
        agree(results, expected)
    agree(gradients(fast, leaves), gradients(taught, leaves))


def test_results_belong_to_the_caller():
    """They are not overwritten by the next call, and may be written to before backward."""
    leaves = leaves_of(20)
    results = fast(*leaves)
    grads = torch.autograd.grad(results, leaves, directions(results))
    before = copy.deepcopy([*(r.detach() for r in results), *grads])
    for seed in range(21, 25):
        gradients(fast, leaves_of(seed))
    agree([*(r.detach() for r in results), *grads], before, 0.0)
    results = fast(*leaves)
    with torch.no_grad():
        for result in results:
            result.zero_()
    agree(torch.autograd.grad(results, leaves, directions(results)), grads, 0.0)


# --- as a model ---------------------------------------------------------------------------------

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

    return RNNModelScratch(28, 16, CPU, copied, init_gru_state, forward_fn)


def test_training_gives_the_same_perplexities_as_the_taught_loop(params, loader, vocab):
    models = [scratch_model(params, gru), scratch_model(params, fast_gru)]
    histories = []
    for model in (*models, FastGRUModel(28, 16, params=params)):
        torch.manual_seed(31)
        history = train(model, loader, vocab, 12, 1.0, progress=False, heldout_iter=loader)
        histories.append(history)
    expected, *others = histories
    assert expected.perplexity[-1] < 0.8 * expected.perplexity[0]
    for history in others:
        assert history.perplexity == pytest.approx(expected.perplexity, rel=1e-4)
        assert history.heldout[-1][1] == pytest.approx(expected.heldout[-1][1], rel=1e-3)
        assert history.samples == expected.samples


@RESETS
def test_the_model_is_used_as_the_others_are(reset_after, loader, vocab, tmp_path):
    torch.manual_seed(32)
    model = FastGRUModel(28, 16, reset_after)
    first = evaluate_perplexity(model, loader)
    history = train(model, loader, vocab, 15, 0.05, optimizer=torch.optim.Adam, progress=False)
    assert evaluate_perplexity(model, loader) < history.perplexity[0] < 1.2 * first
    text = predict("time", 5, model, vocab)
    assert text.startswith("time")
    assert len(text) == 9
    loaded, _, settings = load_checkpoint(save_checkpoint(tmp_path / "m.pt", model, vocab, lr=1))
    X, state = torch.randint(0, 28, (2, 6)), model.begin_state(2)
    agree([loaded(X, state)[0]], [model(X, state)[0]], 1e-6)
    assert settings == {"lr": 1}
    other = FastGRUModel(28, 16, reset_after)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(X, state)[0], model(X, state)[0])


def test_what_the_model_takes(params):
    model = FastGRUModel(28, 16, params=params)
    X, state = torch.randint(0, 28, (3, 5)), model.begin_state(3)
    logits, new = model(X, state)
    agree([logits], [gru(F.one_hot(X.T, 28).float(), state, params)[0]], 1e-6)
    assert isinstance(new, tuple)
    assert torch.equal(model(X)[0], logits), "without a state it starts from zeros"
    assert torch.equal(model(X.to(torch.int16), state)[0], logits)
    agree([model(F.one_hot(X, 28).float(), state)[0]], [logits], 1e-6)  # vectors too


@RESETS
def test_new_parameters_are_drawn_as_those_of_nn_gru(reset_after):
    torch.manual_seed(34)
    model = FastGRUModel(28, 64, reset_after)
    assert [name for name, _ in model.named_parameters()] == list(NAMES[: 11 + reset_after])
    assert all(p.is_leaf and p.requires_grad for p in model.params)
    for p in model.params:
        assert p.abs().max() <= 1 / 8
    assert model.W_hh.max() > 0.12
    assert model.W_hh.min() < -0.12
    assert repr(model) == f"FastGRUModel(28, 64, reset_after={reset_after})"


def test_given_parameters_are_copied(params):
    model = FastGRUModel(28, 16, params=params)
    with torch.no_grad():
        params[0].add_(1)
    assert not torch.allclose(model.W_xz, params[0])
    model = FastGRUModel(28, 16, params=params, dtype=torch.float64)
    assert model.W_xz.dtype == model.begin_state(1)[0].dtype == torch.float64
    assert FastGRUModel(28, 16, params=params, device="meta").W_xz.device.type == "meta"


# --- what is refused ----------------------------------------------------------------------------

INPUTS, H, *PARAMS = problem(0)
MODEL = FastGRUModel(4, 6)
WORKS = {
    fast_gru: {"inputs": INPUTS, "state": (H,), "params": PARAMS},
    FastGRUModel: {"vocab_size": 4, "num_hiddens": 6},
    MODEL.forward: {"X": torch.zeros(3, 5, dtype=torch.int64)},
    MODEL.begin_state: {"batch_size": 3},
}
DENSE = "or be integer token ids (num_steps, batch_size), got shape"
DEVICE = "The inputs must be on cpu, as W_xz is, got meta: move them with .to(W_xz.device)."
TYPE = "must be torch.float64 on cpu, as W_xz is, got torch.float"
TOKENS = "Token ids must lie between 0 and 3, got"
VECTORS = "X must hold integer token ids of shape (batch_size, num_steps), got shape"

REFUSED = [
    (fast_gru, {"inputs": torch.zeros(5, 3, 7)}, f"{DENSE} (5, 3, 7) and type torch"),
    (fast_gru, {"inputs": INPUTS[0]}, f"{DENSE} (3, 4) and type torch.float64."),
    (fast_gru, {"inputs": INPUTS[0] > 0}, f"{DENSE} (3, 4) and type torch.bool."),
    (fast_gru, {"inputs": INPUTS.float()}, f"The inputs {TYPE}32 on cpu: convert with .to(W_xz)."),
    (fast_gru, {"inputs": INPUTS[:0]}, "The inputs must have at least one step, got 0."),
    (fast_gru, {"inputs": torch.full((5, 3), 4)}, f"{TOKENS} 4: was X made with another vocab"),
    (fast_gru, {"inputs": torch.full((5, 3), -1)}, f"{TOKENS} -1"),
    (fast_gru, {"inputs": torch.zeros(5, 3, device="meta").long()}, DEVICE),
    (fast_gru, {"state": (H[:2],)}, "The state H must have shape (3, 6)"),
    (fast_gru, {"state": H}, "The state must be a tuple (H,) of one tensor"),
    (fast_gru, {"state": (H.float(),)}, f"The state H {TYPE}32 on cpu"),
    (fast_gru, {"params": [*PARAMS[:4], H, *PARAMS[5:]]}, "W_hr must have shape (6, 6), since"),
    (fast_gru, {"params": [*PARAMS[:10], PARAMS[10].half()]}, f"b_q {TYPE}16 on cpu"),
    (fast_gru, {"params": PARAMS[:10]}, "or 12 with b_hn at the end, got 10."),
    (FastGRUModel, {"vocab_size": 0}, "vocab_size must be a positive integer, got 0."),
    (FastGRUModel, {"num_hiddens": 2.5}, "num_hiddens must be a positive integer, got 2.5."),
    (FastGRUModel, {"reset_after": "no"}, "reset_after must be one of False, True, got 'no'."),
    (FastGRUModel, {"reset_after": True, "params": PARAMS}, "with reset_after=True, got 11."),
    (FastGRUModel, {"params": problem(0, vocab=5)[2:]}, "W_xz must have shape (4, 6), which is"),
    (FastGRUModel, {"device": "gpu"}, "device must be one that PyTorch finds on this computer"),
    (MODEL.begin_state, {"device": "gpu"}, "device must be one that PyTorch finds on this comp"),
    (MODEL.forward, {"X": torch.zeros(3)}, f"{VECTORS} (3,) and type torch.float32."),
    (MODEL.forward, {"X": torch.zeros(2, 3)}, f"{VECTORS} (2, 3) and type torch.float32."),
    (MODEL.forward, {"X": torch.zeros(2, 3) > 0}, f"{VECTORS} (2, 3) and type torch.bool."),
    (MODEL.forward, {"X": torch.zeros(1, 2, 3, 4)}, f"{VECTORS} (1, 2, 3, 4)"),
    (MODEL.forward, {"X": torch.zeros(3).long()}, f"{VECTORS} (3,) and type torch.int64."),
    (MODEL.forward, {"X": torch.full((2, 3), 4)}, f"{TOKENS} 4"),
    (MODEL.begin_state, {"batch_size": 0}, "batch_size must be a positive integer, got 0."),
]


@pytest.mark.parametrize("function", WORKS)
def test_without_the_mistake_the_call_works(function):
    function(**WORKS[function])


@pytest.mark.parametrize(("function", "changed", "words"), REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(function, changed, words):
    refused_both_ways(function, WORKS[function], changed, words)
