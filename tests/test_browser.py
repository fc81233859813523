"""The explorer in a real browser: JupyterLab's server, and Chromium driven by playwright."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from gru_helpers.plotting import to_png
from gru_helpers.widgets import OneUnitExplorer, one_unit_figure

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


@pytest.fixture(scope="module", autouse=True)
def need_chromium():
    """Skip without Chromium, except in CI, where that is a failure."""
    if not CHROMIUM:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A JupyterLab server over a copy of the notebooks, with settings of its own."""
    home = tmp_path_factory.mktemp("jupyter")
    shutil.copytree(ROOT / "notebooks", home / "root")
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
        yield SimpleNamespace(address=address, root=home / "root")
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def page(server):
    """A browser page that notes console errors and requests to other hosts."""
    from playwright.sync_api import sync_playwright

    quiet = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    switches = [f"--{name}" for name in (quiet + " disable-component-update disable-sync").split()]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.errors, page.strangers = [], []
        own = (server.address, server.address.replace("http", "ws"), "data:", "blob:")
        page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
        page.on(
            "request",
            lambda r: page.strangers.append(r.url) if not r.url.startswith(own) else None,
        )
        yield page
        browser.close()


RUN_ALL = """async () => {
    const widget = window.jupyterapp.shell.currentWidget;
    await widget.revealed;
    await widget.sessionContext.ready;
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
}"""


def open_and_run(page, server, name):
    """Open a notebook in JupyterLab and run all its cells."""
    page.goto(f"{server.address}/lab/tree/{name}?reset")
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    page.evaluate(RUN_ALL)


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


def test_every_slider_of_the_one_unit_explorer_changes_the_picture_to_the_right_one(page, server):
    """Each slider by keyboard: the picture is the pure function's, the readouts agree."""
    open_and_run(page, server, "01_gate_equations.ipynb")
    image = page.locator(".jp-OutputArea img.widget-image, .jp-OutputArea .widget-image img").first
    image.wait_for(timeout=120_000)
    image.scroll_into_view_if_needed()
    values = {"x": 1.0, "h": -0.8, "b_z": 0.0, "b_r": 0.0, "b_h": 0.0}
    element = image.element_handle()
    for number, (name, words, *_) in enumerate(OneUnitExplorer.RANGES):
        slider = page.get_by_role("slider").nth(number)
        for key, step in (("ArrowRight", 0.1), ("ArrowRight", 0.1), ("ArrowLeft", -0.1)):
            shown = image.get_attribute("src")
            slider.focus()
            page.keyboard.press(key)
            values[name] = round(values[name] + step, 1)
            page.wait_for_function(
                "([e, old]) => e.src !== old && e.complete", arg=[element, shown], timeout=20_000
            )
        assert image_bytes(image) == to_png(one_unit_figure(**values)), name
        readout = page.locator(".widget-readout").nth(number).inner_text()
        assert readout.replace("\N{MINUS SIGN}", "-") == f"{values[name]:.1f}"
        assert page.get_by_text(words).first.is_visible()
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "01_explorer.png")
    assert f"x = {values['x']:.1f}" in page.locator(".widget-html").last.inner_text()
    assert element.evaluate("e => e.isConnected")  # replaced in place, never taken away
    assert page.errors == []
    assert page.strangers == []


def test_the_start_button_puts_every_slider_back(page, server):
    open_and_run(page, server, "01_gate_equations.ipynb")
    image = page.locator(".jp-OutputArea img.widget-image, .jp-OutputArea .widget-image img").first
    image.wait_for(timeout=120_000)
    first = image_bytes(image)
    slider = page.get_by_role("slider").first
    slider.focus()
    element = image.element_handle()
    for key in ("Home", "Start values"):
        shown = image.get_attribute("src")
        if key == "Home":
            page.keyboard.press(key)
        else:
            page.get_by_role("button", name=key).press("Enter")
        page.wait_for_function("([e, old]) => e.src !== old", arg=[element, shown], timeout=20_000)
    assert image_bytes(image) == first
    assert page.errors == []


def test_the_live_training_curve_does_not_flicker(page, server):
    """While a model trains, its picture is redrawn and never leaves the page or collapses."""
    lines = [
        "import torch",
        "import gru_helpers.trainer",
        "from gru_helpers import *",
        "gru_helpers.trainer.REDRAW_SECONDS, gru_helpers.trainer.REDRAW_SHARE = 0.1, 1",
        "torch.manual_seed(0)",
        "it, vocab = load_data_time_machine(32, 35, corpus='bundled')",
        "model = RNNModelScratch(len(vocab), 16, 'cpu', get_params, init_gru_state, gru)",
        "train(model, it, vocab, 60, 1)",
    ]
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {
        "cells": [cell | {"source": "\n".join(lines)}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (server.root / "live.ipynb").write_text(json.dumps(notebook))
    page.add_init_script(
        """window.heights = []; window.sources = new Set();
        const watch = () => {
            const image = document.querySelector('.jp-OutputArea img');
            if (image || window.heights.length) {
                window.heights.push(image ? image.parentElement.getBoundingClientRect().height : 0);
                if (image) window.sources.add(image.src.length + image.src.slice(-40));
            }
            requestAnimationFrame(watch);
        };
        requestAnimationFrame(watch);"""
    )
    open_and_run(page, server, "live.ipynb")
    page.get_by_text("ran all 60 epochs").wait_for(timeout=120_000)
    heights, pictures = page.evaluate("[window.heights, window.sources.size]")
    page.screenshot(path=SHOTS / "live_curve.png")
    assert pictures > 2  # it was alive
    settled = heights[3:]  # the first frames belong to the layout of a new output
    assert min(settled) > 0.95 * max(settled)  # it never collapsed
    assert page.errors == []
