"""Every figure is drawn, shows what it is given, and carries words for those who cannot see it."""

import asyncio
import math
import re
from concurrent.futures import ThreadPoolExecutor

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from pictures import NO_WARNINGS, PNG, pixels, size_of

from gru_helpers import History, RNNModel, SeqDataLoader, plotting, train


def run(label="", epochs=4, heldout=(), samples=()):
    """A history with a falling perplexity."""
    return History(
        label=label,
        perplexity=[20 / (i + 1) + 1 for i in range(epochs)],
        heldout=list(heldout),
        samples=list(samples),
        stop_reason="ran",
    )


def curves(number):
    """So many named curves."""
    return {f"curve {i}": (range(1, 5), [i + k for k in range(1, 5)]) for i in range(number)}


EVERYTHING = run("mine", heldout=[(2, 30.0), (4, 70.0)], samples=[(4, "time traveller the <unk>")])
FLOWS = {
    "H": torch.linspace(-1, 1, 24, requires_grad=True).reshape(6, 4),
    "Z": torch.linspace(0, 1, 24).reshape(6, 4),
    "0": torch.zeros(6, 1),
}
GATES = {"Z": torch.linspace(0, 1, 12, requires_grad=True), "R": torch.zeros(5)}
BASELINES = {"letters": 17.0, "pairs": 10.0}
NUMBERS = {"x": 1, "h": 0.5, "z": 0.25, "r": 0.73, "r_h": 0.37, "h_tilde": 0.62, "h_new": 0.59}
QUARTILES = [(1.0, 2.0), (2.0, 4.0)]
FAN = torch.arange(40.0), torch.full((9,), 40.0), torch.randn(9, 5).sort(dim=1).values + 40
TIMES = {
    "batch size": {name: ([1, 8], [1.5, 3.0], QUARTILES) for name in ("gru", "bound")},
    "hidden units": {name: ([64, 256], [1.5, 3.0], QUARTILES) for name in ("gru", "bound")},
}
FIGURES = {
    "one history": lambda: plotting.plot_history([run()]),
    "one history with everything": lambda: plotting.plot_history(
        [EVERYTHING], num_epochs=50, baselines=BASELINES, title="A run"
    ),
    "several histories": lambda: plotting.plot_history([run("a"), run("b", heldout=[(1, 9.0)])]),
    "history of one epoch": lambda: plotting.plot_history([run(epochs=1)]),
    "history of no epoch": lambda: plotting.plot_history([run(epochs=0)]),
    "bars": lambda: plotting.plot_bars({"ours": 3.0, "theirs": 100.0}, "perplexity"),
    "bars, logarithmic": lambda: plotting.plot_bars({"a": 1e-3, "b": 9e3}, "x", log=True),
    "lines": lambda: plotting.plot_lines(curves(3), "lag", "gradient", marks={"half": 0.5}),
    "lines, logarithmic": lambda: plotting.plot_lines(curves(2), "lag", "gradient", log="xy"),
    "step times": lambda: plotting.plot_step_times(TIMES, "bound", "One step"),
    "gate histograms": lambda: plotting.plot_gate_histograms(GATES, "gates"),
    "gate diagram": plotting.gate_diagram,
    "gate diagram, first stage": lambda: plotting.gate_diagram(1),
    "gate diagram, with numbers": lambda: plotting.gate_diagram(numbers=NUMBERS),
    "family tree": plotting.family_tree,
    "road diagram": plotting.road_diagram,
    "road diagram, with numbers": lambda: plotting.road_diagram([0.41, -0.42, 0.1, -0.04]),
    "fan": lambda: plotting.plot_fan({"a": FAN, "b": FAN}, "months", "sunspots"),
    "flow": lambda: plotting.plot_flow(FLOWS, "time t", "A flow"),
}


@pytest.fixture(params=FIGURES)
def figure(request):
    """Each figure in turn."""
    return FIGURES[request.param]()


@NO_WARNINGS
def test_every_figure_is_drawn_without_a_warning(figure):
    png = plotting.to_png(figure)
    width, height = size_of(png)
    assert (width, height) == tuple(round(s * figure.dpi) for s in figure.get_size_inches())
    assert 600 <= width <= 1100, "fits a page and a projector"
    assert len(png) < 75_000, "as text in a notebook it must stay below 100 kB"
    assert (pixels(png).sum(axis=-1) < 600).sum() > 1000, "something is drawn"


def test_axes_are_labelled_and_large_enough_to_read(figure):
    for axes in figure.axes:
        if not axes.axison or axes.get_label() == "<colorbar>":
            continue
        assert axes.get_xlabel() or axes.get_ylabel() or axes.get_title(loc="left")
        shown = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label]
        assert all(text.get_fontsize() >= 10 for text in shown if text.get_text())


def test_figures_are_not_kept_in_memory():
    """pyplot would keep each of them, and warn at the twentieth."""
    import matplotlib.pyplot as plt

    for make in FIGURES.values():
        make()
    assert plt.get_fignums() == []


def test_colors_are_the_safe_ones_and_lines_differ_in_dashes_too():
    drawn = plotting.plot_lines(curves(6), "x", "y").axes[0].lines
    assert len({line.get_color() for line in drawn}) == 6
    assert len({str(line._dash_pattern) for line in drawn}) == 6
    safe = {"#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"}
    assert {line.get_color() for line in drawn} == safe


def test_a_curve_may_have_the_style_of_its_road():
    roads = dict(plotting.ROADS.values())
    names = ("all", "candidate")
    drawn = plotting.plot_lines(
        dict.fromkeys(names, ((0, 1), (2, 1))), "k", "gradient", styles=roads
    ).axes[0]
    assert [line.get_color() for line in drawn.lines] == [plotting.BLUE, plotting.GREEN]


def test_the_roads_have_the_colors_of_the_gate_diagram_and_their_numbers():
    """The sum is that of the values; no two roads are alike in black and white."""
    (axes,) = plotting.road_diagram([0.41, -0.42, 0.1, -0.04]).axes
    texts = [text.get_text() for text in axes.texts]
    for number, (name, style) in plotting.ROADS.items():
        assert {str(number), name} <= set(texts)
        assert any(line.get_color() == style["color"] for line in axes.lines)
    assert {"+0.4100", "−0.4200", "+0.1000", "−0.0400", "+0.0500"} <= set(texts)
    assert len({str(style["linestyle"]) for _, style in plotting.ROADS.values()}) == 4


def test_a_seventh_curve_is_drawn_too():
    assert len(plotting.plot_lines(curves(7), "x", "y").axes[0].lines) == 7
    assert len(plotting.plot_history([run(str(i)) for i in range(7)]).axes[0].lines) == 7
    baselines = {str(i): float(i) for i in range(1, 6)}
    assert len(plotting.plot_history([run()], baselines=baselines).axes[0].lines) == 6


def test_the_history_figure_shows_the_numbers_of_the_history():
    history = run("mine", heldout=[(2, 30.0), (4, 70.0)], samples=[(4, "time flies")])
    figure = plotting.plot_history([history], num_epochs=9)
    axes = figure.axes[0]
    train_line, heldout_line = axes.lines
    assert list(train_line.get_xdata()) == [1, 2, 3, 4]
    assert list(train_line.get_ydata()) == history.perplexity
    assert list(zip(*heldout_line.get_data(), strict=True)) == history.heldout
    assert axes.get_yscale() == "log"
    assert axes.get_xlim() == (0, 9)
    assert axes.get_ylim()[0] == pytest.approx(0.95 * 5)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "perplexity")
    assert "epoch 4: time flies" in figure.get_supxlabel()
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["mine", "mine, held-out"]


@pytest.mark.parametrize(
    ("perplexity", "baselines", "lower"),
    [
        ([28, 9, 1.05], {}, 1),
        ([25, 12, 4.9], {}, 3),
        ([25, 12, 2.9], {}, 2),
        ([28, 9.0], {}, 5),
        ([28, 9.0], {"pairs": 1.5}, 1),
        ([20.2, 20.1], {}, 5),  # what is level looks level
        ([9e4, 1000], {}, 1000),
        ([math.inf, 60, 12], {}, 10),
        ([], {}, 1),
    ],
)
def test_the_axis_of_a_history_begins_near_its_lowest_value(perplexity, baselines, lower):
    axes = plotting.plot_history([History(perplexity=perplexity)], baselines=baselines).axes[0]
    assert axes.get_ylim()[0] == pytest.approx(0.95 * lower)


def test_a_single_epoch_is_a_point_and_more_are_a_line():
    for epochs, marker in ((1, "o"), (2, "")):
        (line,) = plotting.plot_history([run(epochs=epochs)]).axes[0].lines
        assert line.get_marker() == marker
    first, second = plotting.plot_history([run("a", epochs=1), run("b")]).axes[0].lines
    assert (first.get_marker(), second.get_marker()) == ("o", "")


def test_history_plots_itself():
    assert plotting.to_png(run().plot()) == plotting.to_png(plotting.plot_history([run()]))


def test_the_lower_bound_is_grey_and_the_quartiles_are_bars():
    figure = plotting.plot_step_times(TIMES, "bound")
    assert [axes.get_xlabel() for axes in figure.axes] == list(TIMES)
    for axes, curves in zip(figure.axes, TIMES.values(), strict=True):
        for line, bars, (name, (sizes, medians, _)) in zip(
            axes.lines, axes.collections, curves.items(), strict=True
        ):
            assert (list(line.get_xdata()), list(line.get_ydata())) == (sizes, medians)
            assert (line.get_color() == plotting.GREY) is (name == "bound")
            ends = [tuple(segment[:, 1]) for segment in bars.get_segments()]
            assert ends == QUARTILES


def test_the_histograms_say_how_many_gates_are_saturated():
    gates = torch.tensor([0.0, 0.05, 0.95, 0.5])
    (axes,) = plotting.plot_gate_histograms({"Z": gates}).axes
    assert axes.get_title(loc="left") == "Z\n75% saturated"
    assert sum(patch.get_height() for patch in axes.containers[0]) == pytest.approx(100)


def test_the_histograms_have_one_scale_and_one_half_in_the_middle_of_a_bin():
    gates = {"all near one half": 0.5 + 1e-3 * torch.randn(99), "spread": torch.linspace(0, 1, 99)}
    first, second = plotting.plot_gate_histograms(gates).axes
    assert first.get_ylim() == second.get_ylim()
    spike = max(first.containers[0], key=lambda patch: patch.get_height())
    assert spike.get_height() == pytest.approx(100)
    assert spike.get_x() + spike.get_width() / 2 == pytest.approx(0.5)


# what each stage of the diagram writes in black; the rest of it is pale
STAGES = {
    1: {"$h_{t-1}$", "$x_t$", "$z$", "$r$", r"$\sigma$  update", r"$\sigma$  reset"},
    2: {"×", r"$r\,h_{t-1}$", r"$\tilde h$", "tanh  candidate"},
    3: {"mix", "$h_t$", "keep $z$ of the old,\n$1 - z$ of the candidate"},
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_of_the_gate_diagram_draws_what_has_been_explained(stage):
    (axes,) = plotting.gate_diagram(stage).axes
    black = {text.get_text() for text in axes.texts if text.get_color() == plotting.BLACK}
    assert black - {""} == set().union(*(STAGES[s] for s in range(1, stage + 1)))


def test_all_stages_of_the_gate_diagram_have_one_size_and_differ():
    pictures = [pixels(plotting.to_png(plotting.gate_diagram(stage))) for stage in STAGES]
    first, second, third = pictures
    assert first.shape == second.shape == third.shape
    assert (first != second).any()
    assert (second != third).any()


def test_the_gate_diagram_shows_its_numbers():
    def written(**arguments):
        (axes,) = plotting.gate_diagram(**arguments).axes
        return sorted(re.findall(r"\d\.\d\d", " ".join(t.get_text() for t in axes.texts)))

    assert written(numbers=NUMBERS) == sorted(f"{value:.2f}" for value in NUMBERS.values())
    assert written() == []


@pytest.mark.parametrize("stage", [0, 4, "2", None])
def test_a_stage_that_does_not_exist_is_refused_in_one_sentence(stage):
    expected = re.escape(f"stage must be 1, 2 or 3, got {stage!r}.")
    with pytest.raises(ValueError, match=f"^{expected}$"):
        plotting.gate_diagram(stage)


def test_bars_stand_in_the_order_given_with_their_values():
    (axes,) = plotting.plot_bars({"ours": 3.0, "theirs": 10.0}, "perplexity").axes
    assert [bar.get_width() for bar in axes.containers[0]] == [3, 10]
    assert [float(text.get_text()) for text in axes.texts] == [3, 10]
    assert axes.yaxis_inverted()


@pytest.mark.parametrize("number", [1, 3, 6])
def test_minibatches_are_drawn_character_by_character(vocab, number):
    ids = vocab[list("the time traveller smiled at us " * 3)]
    batches = [X for X, _ in SeqDataLoader(ids, vocab, 2, 5, offset=0)][:number]
    figure = plotting.plot_minibatches(batches, vocab, "title")
    assert plotting.to_png(figure).startswith(PNG)
    drawn = [t.get_text() for t in figure.axes[0].texts if len(t.get_text()) == 1]
    expected = [c.replace(" ", "_") for X in batches for c in vocab.to_tokens(X.flatten())]
    assert drawn == expected
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["row 0", "row 1"]


def test_the_flow_has_a_panel_for_each_and_the_characters_along_the_axis():
    figure = plotting.plot_flow({"H": torch.randn(4, 3), "Z": torch.rand(4, 3)}, "a bc")
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert [axes.get_ylabel() for axes in panels] == ["H", "Z"]
    assert [label.get_text() for label in panels[-1].get_xticklabels()] == list("a_bc")
    assert panels[0].images[0].get_clim()[0] < 0, "signed values are drawn around zero"
    assert panels[1].images[0].get_clim() == (0, 1), "others as probabilities"
    assert [len(axes.get_yticks()) for axes in panels] == [0, 0]


def test_a_panel_of_tokens_has_every_fifth_beside_it():
    panels = {"H": torch.randn(4, 3), "p": torch.rand(4, 9)}
    figure = plotting.plot_flow(panels, "a bc", tokens=[*"_-abcdefg"])
    state, output = (axes for axes in figure.axes if axes.get_label() != "<colorbar>")
    assert [label.get_text() for label in state.get_yticklabels()] == []
    shown = zip(output.get_yticks(), output.get_yticklabels(), strict=True)
    assert [(at, label.get_text()) for at, label in shown] == [(2, "a"), (7, "f")]


# --- pictures ---------------------------------------------------------------------------------


def small_figure():
    return plotting.plot_bars({"a": 1.0}, "x")


def test_a_picture_carries_its_words():
    picture = plotting.show(small_figure(), "One bar,\n    of height 1.")
    data, metadata = picture._repr_mimebundle_()
    assert data == {"image/png": picture.png, "text/plain": "One bar, of height 1."}
    assert metadata["image/png"]["alt"] == "One bar, of height 1."
    facts = metadata["image/png"]
    assert (facts["width"], facts["height"]) == size_of(picture.png)
    assert repr(picture) == "One bar, of height 1."


def test_a_picture_whose_file_is_there_is_not_drawn_again(monkeypatch):
    figure = small_figure()
    png = plotting.to_png(figure)
    monkeypatch.setattr(plotting, "to_png", None)
    picture = plotting.Picture(figure, "One bar.", png)
    data, metadata = picture._repr_mimebundle_()
    assert picture.png is data["image/png"] is png
    facts = metadata["image/png"]
    assert (facts["width"], facts["height"]) == (picture.width, picture.height) == size_of(png)


@pytest.mark.parametrize("alt", ["", "  \n "])
@pytest.mark.parametrize("png", [None, PNG])
def test_a_picture_without_words_is_refused(alt, png):
    with pytest.raises(ValueError, match="alt must say in words what the picture shows, got an"):
        plotting.Picture(small_figure(), alt, png)


class Screen:
    """Stands for the notebook: counts outputs and keeps what each shows."""

    def __init__(self):
        self.outputs, self.updates = [], 0

    def display(self, data, metadata=None, raw=False, display_id=None):
        assert raw
        assert display_id
        self.outputs.append((data, metadata))
        return self

    def update(self, data, metadata=None, raw=False):
        assert raw
        self.outputs[-1] = (data, metadata)
        self.updates += 1


@pytest.fixture
def screen(monkeypatch):
    """A notebook to display in."""
    import IPython.display

    screen = Screen()
    monkeypatch.setattr(IPython.display, "display", screen.display)
    return screen


def test_a_live_picture_is_replaced_in_place(screen):
    live = plotting.LivePicture("A growing curve")
    assert screen.outputs == []
    for epochs in (2, 3, 4):
        live.show(plotting.plot_history([run(epochs=epochs)]))
    assert len(screen.outputs) == 1
    assert screen.updates == 2
    data, metadata = screen.outputs[0]
    assert data["image/png"] == plotting.to_png(plotting.plot_history([run(epochs=4)]))
    assert metadata["image/png"]["alt"] == "A growing curve"


def test_training_ends_with_the_whole_curve_on_the_screen(screen, vocab, monkeypatch):
    monkeypatch.setattr(plotting, "REDRAW_SECONDS", 0)
    torch.manual_seed(0)
    model = RNNModel(torch.nn.GRU(28, 4), 28)
    data = SeqDataLoader(vocab[list("time after time " * 8)], vocab, 2, 10)
    history = train(model, data, vocab, 3, 1.0, plot=True, progress=False)
    assert len(screen.outputs) == 1
    expected = plotting.to_png(plotting.plot_history([history], num_epochs=3))
    assert screen.outputs[0][0]["image/png"] == expected


def execute(*sources):
    """What these cells leave in a notebook: the outputs of each.

    In a thread, which has an event loop of its own: another test interrupts that of this one.
    """
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    client = NotebookClient(notebook, kernel_name="python3", allow_errors=True)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(client.async_execute())).result()
    return [cell.outputs for cell in notebook.cells]


def test_in_a_notebook_the_end_of_a_run_stays_as_text():
    """No bar at 0% for ever, no empty widget; and no traceback where a whole run is needed."""
    show = """
from gru_helpers import History, require_finished
from gru_helpers.plotting import TrainingView
history = History(label="mine")
view = TrainingView(history, 4, plot=False)
for perplexity in (9.0, 7.5):
    history.perplexity.append(perplexity)
    view.update()
"""
    close = """
history.stop_reason = "interrupted in epoch 3"
view.close()
require_finished(history)
"""
    (bar,), (error,) = execute(show, close)
    assert set(bar.data) == {"text/plain"}
    assert re.fullmatch(
        r"mine:  50%\|█+ +\| 2/4 \[.*epoch.*, perplexity 7\.50\]", bar.data["text/plain"]
    )
    assert error.output_type == "error"
    assert error.traceback == [f"UnfinishedError: {error.evalue}"]
    assert "interrupted in epoch 3" in error.evalue


def test_training_draws_nothing_where_nobody_looks(screen, vocab):
    model = RNNModel(torch.nn.GRU(28, 4), 28)
    data = SeqDataLoader(vocab[list("time after time " * 8)], vocab, 2, 10)
    train(model, data, vocab, 1, 1.0, progress=False)
    assert screen.outputs == []


def test_a_large_picture_is_kept_in_fewer_colors():
    def speckled(size):
        figure = plotting.new_figure()
        noise = np.random.default_rng(0).random((size, size))
        figure.add_subplot().imshow(noise, interpolation="nearest")
        return figure

    small, large = (plotting.show(speckled(size), "Speckles.") for size in (3, 300))
    assert small.png == plotting.to_png(speckled(3))
    whole = plotting.to_png(speckled(300))
    assert len(whole) > plotting.COMPRESS_ABOVE
    assert large.png == plotting.compress_png(whole)
    assert len(large.png) < len(whole) / 2
