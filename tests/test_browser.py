"""The explorers in a real browser: JupyterLab's server, and Chromium driven by playwright.

One server, one browser and one notebook with the four explorers serve most tests; each test says
where its explorer is when it begins, so that it does not depend on the others.
"""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import torch

from gru_helpers import load_pretrained
from gru_helpers.gates import trace_minibatch
from gru_helpers.studies.long_memory import load_memory, number_batch
from gru_helpers.widgets import GateSettings, OneUnitExplorer, SequenceExplorer
from gru_helpers.widgets.canvas import DPI, LETTERS
from gru_helpers.widgets.gate_explorer import explorer_picture
from gru_helpers.widgets.minibatch import MinibatchCanvas
from gru_helpers.widgets.one_unit import OneUnitCanvas

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT / "build" / "screenshots"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
MISSING = (
    "no Chromium was found, so the explorer is not tested in a browser: install it, "
    "on Debian and Ubuntu with `sudo apt install chromium`"
)
pytestmark = pytest.mark.browser

KNOWN = (
    "the time traveller for so it will be convenient to speak of him"
    "was expounding a recondite matter to us his grey eyes shone and"
)
EXPLORERS = [
    f"""
import torch
from gru_helpers import load_pretrained
from gru_helpers.studies.long_memory import load_memory, number_batch
from gru_helpers.widgets import (
    GateExplorer, MinibatchStepper, OneUnitExplorer, SequenceExplorer,
)

torch.set_num_threads(1)
model, vocab, _ = load_pretrained()
known = {KNOWN!r}
ids = torch.tensor(vocab[list(known)])
X, Y = ids[:75].reshape(3, 25), ids[1:76].reshape(3, 25)""",
    "OneUnitExplorer()",
    "MinibatchStepper(model, X, Y, vocab, step=12, row=1)",
    'GateExplorer(model, vocab, text=known, order="half-life", step=13, place=255)',
    "torch.manual_seed(1)\nSequenceExplorer(load_memory('number'), *number_batch(4, 100), step=50)",
]
ASLEEP = ["from gru_helpers.widgets import OneUnitExplorer", "OneUnitExplorer()"]
LIVE_CURVE = [
    """
import torch
import gru_helpers.plotting
from gru_helpers import RNNModelScratch, get_params, gru, init_gru_state
from gru_helpers import load_data_time_machine, train

gru_helpers.plotting.REDRAW_SECONDS, gru_helpers.plotting.REDRAW_SHARE = 0.1, 1
torch.set_num_threads(1)
torch.manual_seed(0)
it, vocab = load_data_time_machine(32, 35, corpus="bundled")
model = RNNModelScratch(len(vocab), 16, torch.device("cpu"), get_params, init_gru_state, gru)
train(model, it, vocab, 60, 1)"""
]

# for an exercise of a lesson: a wrong answer and the name of the mistake, and a right answer
ANSWERS = [
    (
        "01_gate_equations",
        "01.2",
        ("second = 0.2689, 0.6225, -0.3587, -0.1291", "a step from h = 0.5, the state before"),
        "second = 0.245, 0.637, -0.277, -0.071",
    ),
    (
        "05_nn_gru_comparison",
        "05.1",
        ("our_W_hz = lambda W: W[256:512]", "These are the right rows."),
        "our_W_hz = lambda W: W[256:512].T",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def need_chromium():
    """Skip without Chromium, except in CI, where that is a failure."""
    if not CHROMIUM:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)


def notebook_of(sources):
    """A notebook with these cells of code, as JSON."""
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [cell | {"id": f"c{i}", "source": text.strip()} for i, text in enumerate(sources)]
    kernel = {"name": "python3", "display_name": "Python 3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    head = {"metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(head | {"cells": cells})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A JupyterLab server over two small notebooks, with settings of its own."""
    home = tmp_path_factory.mktemp("jupyter")
    (home / "root").mkdir()
    notebooks = {"explorers": EXPLORERS, "live_curve": LIVE_CURVE, "asleep": ASLEEP}
    for name, sources in notebooks.items():
        (home / "root" / f"{name}.ipynb").write_text(notebook_of(sources), encoding="utf-8")
    for lesson in {lesson for lesson, *_ in ANSWERS}:
        shutil.copy(ROOT / "notebooks" / f"{lesson}.ipynb", home / "root")
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    folders = {f"JUPYTER_{name}": str(home / name) for name in names}
    folders |= {
        f"JUPYTERLAB_{name}_DIR": str(home / name.lower()) for name in ("SETTINGS", "WORKSPACES")
    }
    quiet = home / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
        *(f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
        *(f"--ServerApp.root_dir={home / 'root'}", "--LabApp.extension_manager=readonly"),
        "--LabApp.expose_app_in_browser=True",
    ]
    env = os.environ | folders | {"IPYTHONDIR": str(home / "ipython")}
    with open(home / "log.txt", "w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (home / "log.txt").read_text()
                time.sleep(0.25)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def browser():
    """Chromium, without a window and without habits of its own."""
    from playwright.sync_api import sync_playwright

    quiet = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    switches = [f"--{name}" for name in (quiet + " disable-component-update disable-sync").split()]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        yield browser
        browser.close()


CURRENT = "window.jupyterapp.shell.currentWidget"
RUN_ALL = """async () => {
    const widget = window.jupyterapp.shell.currentWidget;
    await widget.revealed;
    await widget.sessionContext.ready;
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
}"""
COUNT_SAVES = """() => {
    window.saves = 0;
    window.jupyterapp.commands.commandExecuted.connect((_, command) => {
        window.saves += command.id === 'docmanager:save';
    });
}"""
KERNEL_READY = f"""async () => {{
    await {CURRENT}.sessionContext.ready;
    await {CURRENT}.sessionContext.session.kernel.info;
    await new Promise(done => requestAnimationFrame(done));
}}"""


def open_page(browser, server, name, script=""):
    """A page with a notebook in JupyterLab.

    It notes console errors and requests to other hosts; ``script`` runs before all others.
    """
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.errors, page.strangers = [], []
    own = (server, server.replace("http", "ws"), "data:", "blob:")
    page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
    page.on(
        "request",
        lambda r: page.strangers.append(r.url) if not r.url.startswith(own) else None,
    )
    page.add_init_script(script)
    page.goto(f"{server}/lab/tree/{name}.ipynb?reset")
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    return page


def open_and_run(browser, server, name, script=""):
    """The same, and all cells run."""
    page = open_page(browser, server, name, script)
    page.evaluate(RUN_ALL)
    return page


@pytest.fixture(scope="module")
def page(browser, server):
    """The page with the four explorers."""
    page = open_and_run(browser, server, "explorers")
    yield page
    page.close()


@pytest.fixture(autouse=True)
def _no_errors_and_no_strangers(request):
    """A browser that says nothing, and asks nobody but our server."""
    yield
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        assert page.errors == []
        assert page.strangers == []


def image_bytes(image):
    """The bytes of the picture that an <img> shows."""
    script = """async e => {
        const blob = await (await fetch(e.src)).blob();
        return await new Promise(done => {
            const reader = new FileReader();
            reader.onload = () => done(reader.result);
            reader.readAsDataURL(blob);
        });
    }"""
    return base64.b64decode(image.evaluate(script).split(",")[1])


IMAGES = ".jp-OutputArea img.widget-image, .jp-OutputArea .widget-image img"


class Explorer:
    """One explorer on a page: its picture, its readouts, its controls, its words."""

    def __init__(self, page, number: int):
        """The ``number``-th picture with controls on the page, as soon as it is there."""
        self.page = page
        self.image = page.locator(IMAGES).nth(number)
        self.image.wait_for(timeout=120_000)
        self.box = self.image.locator("xpath=ancestor::*[contains(@class, 'gru-explorer')][1]")
        page.wait_for_function(
            "box => box.querySelector('[role=slider][aria-label]')", arg=self.box.element_handle()
        )
        self.image.scroll_into_view_if_needed()
        self.element = self.image.element_handle()
        self.element.evaluate(
            """e => {
                window.pictures = [];
                new MutationObserver(() => window.pictures.push(performance.now()))
                    .observe(e, {attributes: true, attributeFilter: ['src']});
            }"""
        )

    def png(self) -> bytes:
        return image_bytes(self.image)

    def slider(self, words: str):
        """The handle of the slider with this description."""
        return self._labelled(words).get_by_role("slider")

    def readout(self, words: str) -> str:
        text = self._labelled(words).locator(".widget-readout").inner_text()
        return text.replace("\N{MINUS SIGN}", "-")

    def choice(self, words: str):
        """The list with this description."""
        return self._labelled(words).locator("select")

    def _labelled(self, words: str):
        label = self.page.get_by_text(words, exact=True)
        return self.box.locator(".widget-inline-hbox").filter(has=label)

    def after(self, action) -> bytes:
        """The picture that an action leads to."""
        shown = self.image.get_attribute("src")
        action()
        self.page.wait_for_function(
            "([e, old]) => e.src !== old && e.complete", arg=[self.element, shown], timeout=20_000
        )
        return self.settled()

    def settled(self) -> bytes:
        """The picture once no other has come for a while."""
        self.page.wait_for_function(
            """() => {
                const last = window.pictures.at(-1) ?? 0;
                return performance.now() - last > 200;
            }""",
            timeout=20_000,
        )
        return self.png()

    def press(self, words: str, key: str) -> bytes:
        """The picture after a key on a slider."""
        self.slider(words).focus()
        return self.after(lambda: self.page.keyboard.press(key))

    def place(self, window, files=False) -> dict:
        """Where picture, controls and words are in a window, with the list of files or without.

        Edges are pixels from the upper left corner of what can be seen of the notebook, once the
        explorer is at its top; letters are pixels too, those of the picture as they appear.
        """
        self.page.set_viewport_size(dict(zip(("width", "height"), window, strict=True)))
        self.page.evaluate(f"window.jupyterapp.shell.{'expand' if files else 'collapse'}Left()")
        for _ in range(2):  # what lies above may grow or shrink after the first time
            self.element.evaluate(
                "e => e.closest('.jp-OutputArea-output').scrollIntoView({block: 'start'})"
            )
            self.page.wait_for_function(STILL, arg=self.element)
        return self.box.evaluate(
            """box => {
                const all = what => [...box.querySelectorAll(what)];
                const view = box.closest('.jp-WindowedPanel-outer').getBoundingClientRect();
                const edges = e => {
                    const r = e.getBoundingClientRect();
                    return [r.left - view.left, r.top - view.top, r.right - view.left,
                            r.bottom - view.top].map(Math.round);
                };
                const image = box.querySelector('img');
                const shown = Math.min(image.clientWidth / image.naturalWidth,
                                       image.clientHeight / image.naturalHeight);
                const words = box.querySelector('.gru-words');
                return {
                    view: [view.width, view.height], picture: edges(image), words: edges(words),
                    controls: all('.gru-top, .gru-side > :not(.gru-words)').map(edges),
                    letters: all('label, .widget-readout, select, input, button, .gru-words')
                        .map(e => parseFloat(getComputedStyle(e).fontSize)),
                    scale: shown, output: edges(box.closest('.jp-OutputArea-output')),
                };
            }"""
        )

    def words(self) -> str:
        return self.box.locator(".gru-words").inner_text()


# A promise that is kept once an element has stayed at its place for three frames.
STILL = """e => new Promise(done => {
    let last = '', same = 0;
    const look = () => {
        const r = e.getBoundingClientRect(), now = [r.left, r.top, r.width, r.height].join();
        same = now === last ? same + 1 : 0;
        last = now;
        same > 2 ? done(true) : requestAnimationFrame(look);
    };
    look();
})"""


def screenshot(explorer: Explorer, name: str) -> None:
    """Keep a picture of the page, scrolled so that the explorer is in view."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    explorer.box.evaluate("e => e.scrollIntoView({block: 'start'})")
    explorer.page.screenshot(path=SHOTS / f"{name}.png")


START = {"x": 1.0, "h": -0.8, "b_z": 0.0, "b_r": 0.0, "b_h": 0.0}


# --- one unit -----------------------------------------------------------------------------------


def test_every_slider_of_the_one_unit_explorer_changes_the_picture_to_the_right_one(page):
    """Each slider by keyboard: the picture is the pure function's, the readouts agree."""
    explorer, canvas = Explorer(page, 0), OneUnitCanvas()
    values = dict(START)
    start = canvas.picture(**values).png
    for name, words, *_ in OneUnitExplorer.SLIDERS:
        for key, step in (("ArrowRight", 0.1), ("ArrowRight", 0.1), ("ArrowLeft", -0.1)):
            values[name] = round(values[name] + step, 1)
            assert explorer.press(words, key) == canvas.picture(**values).png, name
        assert explorer.readout(words) == f"{values[name]:.1f}"
    screenshot(explorer, "01_explorer")
    assert f"x = {values['x']:.1f}" in explorer.words()
    assert explorer.element.evaluate("e => e.isConnected")  # replaced in place, never taken away
    page.get_by_role("button", name="Start values").focus()
    assert explorer.after(lambda: page.keyboard.press("Enter")) == start


# --- a minibatch --------------------------------------------------------------------------------


def test_the_minibatch_stepper_shows_the_step_and_the_row_that_are_chosen(page):
    explorer, (model, vocab, _) = Explorer(page, 1), load_pretrained()
    ids = torch.tensor(vocab[list(KNOWN)])
    X, Y = ids[:75].reshape(3, 25), ids[1:76].reshape(3, 25)
    canvas = MinibatchCanvas(X, Y, trace_minibatch(model, X), vocab)
    assert (explorer.readout("step"), explorer.readout("row")) == ("12", "1")
    for words, key in (("step", "ArrowRight"), ("row", "ArrowLeft"), ("step", "End")):
        shown = explorer.press(words, key)
        step, row = int(explorer.readout("step")), int(explorer.readout("row"))
        assert shown == canvas.picture(step, row).png
    assert (step, row) == (24, 0)
    assert f"Step {step} of a minibatch" in explorer.words()
    screenshot(explorer, "03_stepper")
    explorer.press("step", "Home")
    play = explorer.box.locator(".widget-play button").first  # by keyboard too
    play.focus()
    seen = page.evaluate("window.pictures.length")
    page.keyboard.press("Enter")
    page.wait_for_function("n => window.pictures.length > n + 3", arg=seen, timeout=20_000)
    page.keyboard.press("Enter")
    shown = explorer.settled()
    step = int(explorer.readout("step"))
    assert step > 2
    assert shown == canvas.picture(step, 0).png


# --- the gates of a model -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def gates(page):
    """The gate explorer, its settings now, and how its picture must look."""
    explorer = Explorer(page, 2)
    model, vocab, _ = load_pretrained()
    settings = {"text": KNOWN, "step": 13, "place": 255, "order": "half-life"}
    explorer.expected = lambda: explorer_picture(model, vocab, GateSettings(**settings)).png
    explorer.now = settings
    return explorer


def test_every_control_of_the_gate_explorer_leads_to_the_right_picture(gates):
    """By keyboard, each kind of control: sliders, lists, the button."""
    page = gates.page
    assert gates.settled() == gates.expected()
    gates.now["step"] = 14
    assert gates.press("step", "ArrowRight") == gates.expected()
    assert gates.readout("step") == "14"
    gates.now["place"] = 254
    assert gates.press("unit, place", "ArrowLeft") == gates.expected()
    assert gates.readout("unit, place") == "254"

    def choose(words: str, option: str):
        return gates.after(lambda: gates.choice(words).select_option(label=option))

    for words, name, option, value in (
        ("heat map", "gate", "reset gate r", "R"),
        ("units by", "order", "variance", "variance"),
        ("hold", "held", "update gate z", "Z"),
        ("at", "at", "its mean", "mean"),
        ("in", "which", "this unit", "this"),
        ("in", "which", "all units", "all"),
        ("at", "at", "what it is there", "frozen"),
        ("at", "at", "the value", "value"),
    ):
        gates.now[name] = value
        assert choose(words, option) == gates.expected(), option
    gates.now["value"] = 0.05
    assert gates.press("value", "ArrowRight") == gates.expected()
    assert gates.readout("value") == "0.05"
    gates.box.get_by_role("button", name="From here").focus()
    gates.now["since"] = 14
    assert gates.after(lambda: page.keyboard.press("Enter")) == gates.expected()
    assert gates.readout("from step") == "14"
    screenshot(gates, "06_held")
    words = gates.words()
    assert "Step 14" in words
    assert "With update gate z held at 0.05 in all units from step 14:" in words


def test_the_gate_explorer_takes_a_sentence_and_refuses_a_page(gates):
    field = gates.box.locator("input[type=text]").first
    field.fill("Can you guess the next letter?")
    sentence = "can you guess the next letter"
    gates.now |= {"text": sentence, "step": min(gates.now["step"], len(sentence) - 1)}
    gates.now["since"] = min(gates.now.get("since", 0), len(sentence) - 1)
    assert gates.after(lambda: field.press("Enter")) == gates.expected()
    for text, words in (
        ("", "at least one letter A to Z"),
        ("ab " * 3334, "at most 300 characters"),
    ):
        field.fill(text)
        field.press("Enter")
        gates.box.get_by_text(words).wait_for(timeout=20_000)
        assert gates.settled() == gates.expected()  # the picture stays
    screenshot(gates, "06_too_long")
    gates.now["step"] -= 1
    assert gates.press("step", "ArrowLeft") == gates.expected()


def test_the_gate_explorer_keeps_up_with_the_keyboard(gates):
    """A picture for each of 100 keys; then 60 keys in a row, after which nothing is queued."""
    page = gates.page
    if gates.now["text"] != KNOWN:  # the test before has left another one
        gates.box.locator("input[type=text]").first.fill(KNOWN)
        gates.after(lambda: page.keyboard.press("Enter"))
    gates.slider("step").focus()
    page.keyboard.press("Home")
    gates.settled()
    waits = page.evaluate(
        """async () => {
            const slider = document.activeElement, waits = [];
            for (let i = 0; i < 100; i++) {
                const seen = window.pictures.length, start = performance.now();
                const key = {key: 'ArrowRight', code: 'ArrowRight', keyCode: 39, bubbles: true};
                slider.dispatchEvent(new KeyboardEvent('keydown', key));
                while (window.pictures.length === seen && performance.now() - start < 10000)
                    await new Promise(done => setTimeout(done, 1));
                waits.push(window.pictures.at(-1) - start);
            }
            return waits;
        }"""
    )
    waits.sort()
    print(f"\nkey to picture: median {waits[50]:.0f} ms, worst of 100 {waits[-1]:.0f} ms")
    assert gates.readout("step") == "100"
    gates.slider("step").focus()
    page.keyboard.press("Home")
    gates.settled()
    for _ in range(60):
        page.keyboard.press("ArrowRight", delay=5)
    last_key = page.evaluate("performance.now()")
    gates.now |= {"text": KNOWN, "step": 60}
    gates.box.get_by_text("Step 60 (of").wait_for(timeout=20_000)
    assert gates.settled() == gates.expected()
    late = page.evaluate("t => window.pictures.filter(p => p > t).length", last_key)
    print(f"pictures after the last of 60 keys: {late}")
    assert late <= 3
    assert gates.readout("step") == "60"


# --- a sequence of numbers ----------------------------------------------------------------------


def test_the_keepers_of_a_number_are_opened_by_hand(page):
    """The controls lead to the picture of their settings, and the answer is gone."""
    explorer = Explorer(page, 3)
    torch.manual_seed(1)
    model, (X, y) = load_memory("number"), number_batch(4, 100)

    def expected(number: int, **settings):
        rows = slice(number, number + 1)
        return SequenceExplorer(model, X[rows], y[rows], **settings)

    def choose(words: str, option: str):
        return explorer.after(lambda: explorer.choice(words).select_option(label=option))

    assert explorer.settled() == expected(0, step=50).image.value
    assert explorer.press("sequence", "ArrowRight") == expected(1, step=50).image.value
    explorer.press("unit, place", "ArrowRight")
    choose("hold", "update gate z")
    choose("in", "it and all above")
    held = {"step": 50, "place": 1, "which": "above", "held": "Z"}
    assert explorer.press("from step", "ArrowRight") == expected(1, **held, since=1).image.value
    screenshot(explorer, "08_held")
    asked, answers = re.search(
        r"Asked for (\d\.\d+); .* at the end (-?\d+\.\d+)", explorer.words()
    ).groups()
    assert abs(float(asked) - float(answers)) > 0.05


# --- in class -----------------------------------------------------------------------------------

# What a browser's own bars, 120 pixels, leave of three screens, and of the first at 150 %.
PROJECTOR, LAPTOP, LARGE, ZOOMED = (1280, 600), (1366, 648), (1920, 960), (853, 400)
TWELVE_POINTS = 16  # pixels


def inside(edges, view):
    """Whether a rectangle lies in what can be seen, to a pixel."""
    left, top, right, bottom = edges
    return left >= -1 and top >= -1 and right <= view[0] + 1 and bottom <= view[1] + 1


@pytest.mark.parametrize("number", [0, 1, 2, 3], ids=["one unit", "minibatch", "gates", "sequence"])
@pytest.mark.parametrize("window", [PROJECTOR, LAPTOP, LARGE], ids=str)
def test_picture_and_controls_are_seen_together(page, number, window):
    """In letters of 12 points, side by side; beside the list of files they are smaller."""
    explorer = Explorer(page, number)
    place = explorer.place(window)
    assert inside(place["picture"], place["view"]), place
    assert all(inside(edges, place["view"]) for edges in place["controls"]), place
    assert min(place["letters"]) >= TWELVE_POINTS
    assert place["scale"] * LETTERS * DPI / 72 >= TWELVE_POINTS
    side = [edges for edges in place["controls"] if edges[1] >= place["picture"][1]]
    assert all(right <= place["picture"][0] for _, _, right, _ in side), "beside, not below"
    assert place["picture"][2] >= place["output"][2] - 40, "the width is used"
    if number < 2:
        assert inside(place["words"], place["view"]), place
    names = "01_explorer", "03_stepper", "06_explorer", "08_sequence"
    screenshot(explorer, f"{names[number]}_{window[0]}")
    place = explorer.place(window, files=True)
    assert inside(place["picture"], place["view"]), place
    assert all(inside(edges, place["view"]) for edges in place["controls"]), place


@pytest.mark.parametrize(("number", "name"), [(0, "01_explorer"), (1, "03_stepper")])
def test_small_explorers_at_150_percent(page, number, name):
    explorer = Explorer(page, number)
    place = explorer.place(ZOOMED)
    screenshot(explorer, f"{name}_zoomed")
    assert inside(place["picture"], place["view"]), place
    assert all(inside(edges, place["view"]) for edges in place["controls"]), place
    letters = 1.5 * place["scale"] * LETTERS * DPI / 72
    assert letters >= (TWELVE_POINTS if number == 0 else 12), "the wide one has smaller letters"
    explorer.place(PROJECTOR)


@pytest.mark.parametrize("number", [0, 1, 2, 3], ids=["one unit", "minibatch", "gates", "sequence"])
def test_every_control_has_a_name(page, number):
    """For a screen reader: sliders and player have none of their own."""
    explorer = Explorer(page, number)
    names = explorer.box.evaluate(
        "box => [...box.querySelectorAll('[role=slider], .widget-play button')]"
        ".map(e => e.getAttribute('aria-label'))"
    )
    expected = (
        ["input x", "old h", "bias b_z", "bias b_r", "bias b_h"],
        ["step", "play", "stop", "repeat", "row"],
        ["step", "play", "stop", "repeat", "unit, place", "value", "from step"],
        ["sequence", "step", "play", "stop", "repeat", "unit, place", "value", "from step"],
    )
    assert names == expected[number]


def test_keys_on_a_control_are_no_commands_for_the_notebook(page):
    """m would turn the cell into text, d d delete it, and an arrow choose another.

    Ctrl+S still reaches JupyterLab. Its command is counted: while an earlier save is ending, the
    command runs and saves nothing.
    """
    explorer = Explorer(page, 2)
    state = f"""() => {{
        const notebook = {CURRENT}.content;
        return [notebook.activeCellIndex, notebook.widgets.map(cell => cell.model.type),
                notebook.widgets.map(cell => cell.outputArea?.node.textContent.length > 0)];
    }}"""
    explorer.box.click(position={"x": 3, "y": 3})
    before = page.evaluate(state)
    page.evaluate(COUNT_SAVES)
    places = (explorer.slider("step"), explorer.choice("units by"), explorer.choice("heat map"))
    places += (explorer.box.get_by_role("button", name="play"),)
    for number, place in enumerate(places, start=1):
        place.focus()
        for key in ("m", "1", "y", "r", "x", "d", "d", "a", "b", "ArrowDown", "ArrowUp"):
            page.keyboard.press(key)
        assert page.evaluate(state) == before
        page.keyboard.press("Control+s")
        page.wait_for_function("number => window.saves === number", arg=number, timeout=20_000)
    explorer.settled()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_refusal_can_be_read_and_moves_nothing(page, theme):
    """The sentence lies over the picture: the controls stay, and the contrast is that of text."""
    explorer = Explorer(page, 2)
    page.evaluate(
        "t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", theme
    )
    before = explorer.place(PROJECTOR)
    field = explorer.box.locator("input[type=text]").first
    kept = field.input_value()
    field.fill("1895")
    field.press("Enter")
    sentence = explorer.box.get_by_text("at least one letter A to Z")
    sentence.wait_for(timeout=20_000)
    screenshot(explorer, f"06_refused_{theme.split()[1].lower()}")
    after = explorer.place(PROJECTOR)
    assert beside_output(after) == beside_output(before)
    colors = sentence.evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    )
    assert contrast(*colors) >= 7
    field.fill(kept)
    field.press("Enter")
    sentence.wait_for(state="detached", timeout=20_000)
    page.evaluate(
        "window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})"
    )


def beside_output(place):
    """Where controls and picture are, seen from the upper left corner of the output."""
    left, top, *_ = place["output"]
    return [[x - left, y - top] for x, y, *_ in (*place["controls"], place["picture"])]


def contrast(one: str, other: str) -> float:
    """The contrast of two colors, as WCAG 2 defines it; they are given as the browser does."""

    def luminance(color):
        channels = [int(number) / 255 for number in re.findall(r"\d+", color)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def test_what_is_held_is_seen_in_its_list(gates):
    """Nothing is a choice too: at the start, and when it is chosen again."""
    shown = "e => e.options[e.selectedIndex]?.text"
    held = gates.choice("hold")
    for option in ("nothing", "state", "nothing"):
        if held.evaluate(shown) != option:
            gates.after(lambda option=option: held.select_option(label=option))
        assert held.evaluate(shown) == option
    gates.now["held"] = None


def test_an_explorer_without_its_kernel_says_how_to_wake_it(browser, server):
    """Run, save, shut down: the explorer says so; open again: its picture; run: it lives."""
    page = open_and_run(browser, server, "asleep")
    explorer = Explorer(page, 0)
    asleep = page.locator(".gru-asleep")
    explorer.press("input x", "ArrowRight")
    assert not asleep.is_visible()
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function(f"() => !{CURRENT}.context.model.dirty")
    page.evaluate(f"{CURRENT}.sessionContext.shutdown()")
    # The page looks at its controls now and then, and names them: it has to do so once more, since
    # a move just after an answer counts as answered.
    page.evaluate("document.querySelector('[role=slider]').removeAttribute('aria-label')")
    page.wait_for_selector("[role=slider][aria-label='input x']")
    explorer.slider("input x").focus()
    page.keyboard.press("ArrowRight")
    asleep.wait_for(timeout=20_000)
    assert "Run > Run All Above Selected Cell, then this cell" in asleep.inner_text()
    screenshot(explorer, "01_without_kernel")
    page.close()

    page = open_page(browser, server, "asleep")
    saved = page.locator(".jp-OutputArea-output img")
    saved.wait_for(timeout=60_000)
    assert page.get_by_text("model not found").count() == 0
    assert page.evaluate(f"() => [...{CURRENT}.content.model.cells].every(cell => cell.trusted)")
    assert image_bytes(saved) == OneUnitExplorer()._repr_mimebundle_()[0]["image/png"]
    page.screenshot(path=SHOTS / "01_opened_again.png")
    page.evaluate(KERNEL_READY)
    assert not page.evaluate(f"{CURRENT}.context.model.dirty"), "opening it is no change"
    language = page.evaluate(f"{CURRENT}.context.model.getMetadata('language_info')")
    assert "version" in language, "what JupyterLab would otherwise have added"
    page.evaluate(RUN_ALL)
    explorer = Explorer(page, 0)
    assert (
        explorer.press("input x", "ArrowRight")
        == OneUnitCanvas().picture(**(START | {"x": 1.1})).png
    )
    assert page.errors == page.strangers == []
    page.close()


# --- training -----------------------------------------------------------------------------------


WATCH = """window.heights = []; window.sources = new Set();
const watch = () => {
    const image = document.querySelector('.jp-OutputArea img');
    if (image || window.heights.length) {
        window.heights.push(image ? image.parentElement.getBoundingClientRect().height : 0);
        if (image) window.sources.add(image.src.length + image.src.slice(-40));
    }
    requestAnimationFrame(watch);
};
requestAnimationFrame(watch);"""


def test_the_live_training_curve_does_not_flicker(browser, server):
    """While a model trains, its picture is redrawn and never leaves the page or collapses."""
    page = open_and_run(browser, server, "live_curve", WATCH)
    page.get_by_text("ran all 60 epochs").wait_for(timeout=120_000)
    heights, pictures = page.evaluate("[window.heights, window.sources.size]")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "live_curve.png")
    assert pictures > 2  # it was alive
    settled = heights[3:]  # the first frames belong to the layout of a new output
    assert min(settled) > 0.95 * max(settled)  # it never collapsed
    assert page.errors == []
    page.close()


# --- checks of exercises ------------------------------------------------------------------------

SELECT = f"""async words => {{
    const notebook = {CURRENT}.content;
    const place = [...notebook.model.cells].findIndex(
        cell => cell.type === 'code' && cell.sharedModel.getSource().includes(words));
    notebook.activeCellIndex = place;
    await notebook.scrollToItem(place);
    notebook.deselectAll();
    return notebook.model.cells.get(place).sharedModel.getSource();
}}"""
OUTPUT = f"""() => [...({CURRENT}.content.activeCell.model.outputs.toJSON())]
    .map(output => [output.text ?? ''].flat().join('')).join('')"""


def run_cell(page, words, source=None):
    """Choose the cell with these words, type a new source into it if given, and run it in place."""
    page.evaluate(SELECT, words)
    if source is not None:
        page.locator(".jp-Cell.jp-mod-active .cm-content").click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(source)
        page.keyboard.press("Control+Enter")
    else:
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")


@pytest.mark.parametrize(
    ("lesson", "number", "wrong", "right"), ANSWERS, ids=[number for _, number, *_ in ANSWERS]
)
def test_a_wrong_and_a_right_answer_get_their_verdicts(
    browser, server, lesson, number, wrong, right
):
    """The lesson as it is opened: its import of the checks is run, and the answer cell, twice."""
    page = open_page(browser, server, lesson)
    page.evaluate(KERNEL_READY)
    call = f'check("{number}"'
    source = page.evaluate(SELECT, call)
    assert f"{number}: no answer yet" in page.evaluate(OUTPUT)
    calls = source[source.index("check(") :]
    run_cell(page, "from gru_helpers.checks import")
    answer, words = wrong
    shown = f"words => ({OUTPUT})().includes(words)"
    for text, verdict in (
        (answer, f"{number}: not right, and a known mistake."),
        (right, f"{number}: right."),
    ):
        run_cell(page, call, f"{text}\n{calls}")
        page.wait_for_function(shown, arg=verdict, timeout=60_000)
        told = page.evaluate(OUTPUT)
        assert (words in told) == (text == answer)
        SHOTS.mkdir(parents=True, exist_ok=True)
        state = "wrong" if text == answer else "right"
        page.screenshot(path=SHOTS / f"check_{number}_{state}.png")
    assert page.errors == page.strangers == []
    page.close()
