"""What the tests of pictures and explorers share."""

import html
import io
import string

import numpy as np
import pytest
import torch
from PIL import Image

from gru_helpers import RNNModelScratch, Vocab, get_params, gru, init_gru_state
from gru_helpers.plotting import WIDGET_VIEW, compress_png
from gru_helpers.widgets.canvas import CLAMPED, FOOTNOTE_HEIGHT, NUM_BARS

# an older library that is warned by a newer one is no fault of ours, our use of matplotlib is
NO_WARNINGS = pytest.mark.filterwarnings(
    "error",
    "ignore::DeprecationWarning",
    "error::matplotlib.MatplotlibDeprecationWarning",
)
PNG = b"\x89PNG\r\n\x1a\n"
ENGLISH = Vocab(string.ascii_lowercase + " ")
SMALL = Vocab("abc ")


def build(hiddens, vocab=ENGLISH, seed=0, scale=0.8, forward_fn=gru):
    """A scratch model with weights of a size that makes a difference."""
    torch.manual_seed(seed)
    model = RNNModelScratch(
        len(vocab), hiddens, torch.device("cpu"), get_params, init_gru_state, forward_fn
    )
    model.params = [torch.randn(p.shape) * scale for p in model.params]
    return model


def minibatch(rows=3, steps=9, vocab=ENGLISH, seed=4):
    """X and Y at random."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(1, len(vocab), (2, rows, steps), generator=rng)


def size_of(png):
    """Width and height, from the header of the file."""
    assert png.startswith(PNG)
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def check_size(picture, size):
    """The file, the attributes and what is said of the canvas agree."""
    assert size_of(picture.png) == (picture.width, picture.height) == tuple(size)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def purple(png, left=0, top=0, right=None, bottom=None):
    """How many pixels of a part of the picture have the color of what is held."""
    wanted = np.array([int(CLAMPED[i : i + 2], 16) for i in (1, 3, 5)])
    part = pixels(png)[top:bottom, left:right]
    return int((np.abs(part - wanted).sum(axis=-1) < 60).sum())


def likeliest(probabilities, clamped=None):
    """The tokens of the bars, from the top down."""
    best = probabilities if clamped is None else torch.maximum(probabilities, clamped)
    return sorted(range(len(best)), key=lambda idx: -float(best[idx]))[:NUM_BARS]


def bars_of(lane):
    """Lengths of the bars of one color, from the top down."""
    segments = [np.asarray(segment) for segment in lane.get_segments()]
    assert all(segment[0, 0] == 0 for segment in segments)
    heights = [segment[0, 1] for segment in segments]
    assert heights == sorted(heights, reverse=True)
    return [float(segment[1, 0]) for segment in segments]


def count(monkeypatch, owner, name):
    """Replace a function by one that also counts its calls, in the list that is returned."""
    calls, real = [], getattr(owner, name)

    def counted(*args, **kwargs):
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


def check_shown(explorer, expected):
    """The picture on display is the one expected, byte for byte, and so are its words."""
    assert explorer.image.value == explorer.picture.png == expected.png
    assert repr(explorer) == explorer.picture.alt == expected.alt
    assert explorer.caption.value == html.escape(expected.alt)


def descendants(widget):
    """All widgets inside a widget."""
    children = getattr(widget, "children", ())
    return [*children, *(inner for child in children for inner in descendants(child))]


def check_display(explorer):
    """What a notebook shows: the live widget, and picture and words for where no kernel runs."""
    data, metadata = explorer._repr_mimebundle_(include=None, exclude=None)
    assert set(data) == {"image/png", "text/plain", WIDGET_VIEW}
    view = {"version_major": 2, "version_minor": 0, "model_id": explorer.widget.model_id}
    assert data[WIDGET_VIEW] == view
    assert explorer.picture.png == explorer.image.value
    assert data["text/plain"] == metadata["image/png"]["alt"] == repr(explorer)
    assert "Box(" not in data["text/plain"]
    width, height = int(explorer.image.width), int(explorer.image.height)
    saved = pixels(data["image/png"]).astype(float)
    assert saved.shape[:2] == (height + FOOTNOTE_HEIGHT, width)
    assert metadata["image/png"]["height"] == height + FOOTNOTE_HEIGHT
    assert metadata["image/png"]["width"] == width
    shown = pixels(compress_png(explorer.picture.png)).astype(float)
    assert np.abs(saved[:height] - shown).mean() < 2, "the same picture, but for rounded colors"
    assert (saved[height:] < 200).any(), "and a line of words below it"
    assert explorer.caption.value == html.escape(repr(explorer))
    everything = descendants(explorer.widget)
    assert explorer.image in everything
    assert explorer.caption in everything
    assert all(control in everything for control in explorer.controls.values())


def check_replaced_in_place(explorer, change):
    """The bytes of one image widget are replaced, its size stays: nothing jumps or flickers."""
    image, children, before = explorer.image, explorer.widget.children, explorer.image.value
    size = image.width, image.height
    assert all(int(number) > 100 for number in size)
    change()
    assert image.value != before
    assert explorer.image is image
    assert (image.width, image.height) == size
    assert explorer.widget.children == children


def check_words(explorer):
    """Every control says what it is for."""
    assert all(control.description for control in explorer.controls.values())
