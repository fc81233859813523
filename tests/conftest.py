"""What the tests share: the marker for slow tests, no network, one thread, small fixtures."""

import os
import string

import pytest
import torch
from hypothesis import settings

from gru_helpers import RNNModel, RNNModelScratch, Vocab, corpus, get_params, gru, init_gru_state

CLOSED = "http://127.0.0.1:9"  # the discard port: nothing listens there

# The same examples in every run, no time limit, and no folder of examples left behind.
settings.register_profile("course", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("course")


def pytest_collection_modifyitems(config, items):
    """Leave slow tests out unless they are asked for, with ``-m slow`` or GRU_SLOW=1."""
    if "slow" in (config.option.markexpr or "") or os.environ.get("GRU_SLOW") == "1":
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small tensors are fastest on one thread, and the tests may share the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """The book comes from ``data/`` or a local mirror, or not at all."""
    monkeypatch.setattr(corpus, "BOOK_URLS", (f"{CLOSED}/{corpus.BOOK_FILE}",))
    monkeypatch.setattr(corpus, "RETRIES", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def vocab():
    """The 28 tokens of every English text."""
    return Vocab(string.ascii_lowercase + " ")


@pytest.fixture
def empty_folder(tmp_path):
    """A folder in which there is no book."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def scratch():
    """A scratch model with 28 tokens and 8 hidden units."""
    torch.manual_seed(11)
    return RNNModelScratch(28, 8, torch.device("cpu"), get_params, init_gru_state, gru)


@pytest.fixture
def concise():
    """The same sizes around ``nn.GRU``."""
    torch.manual_seed(12)
    return RNNModel(torch.nn.GRU(28, 8), 28)


@pytest.fixture(params=["scratch", "concise"])
def model(request):
    """Each of the two models in turn."""
    return request.getfixturevalue(request.param)
