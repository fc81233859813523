"""The small package behind a step-by-step lesson on the gated recurrent unit (GRU).

The names below are enough to run the whole lesson. Figures are in ``gru_helpers.plotting``,
sliders in ``gru_helpers.widgets``; these are imported only when they are asked for.
"""

from .bptt import GRU, GRUFunction, fast_gru, gru_backward, gru_forward, gru_step_backward
from .dataset import (
    CorpusError,
    SeqDataLoader,
    Vocab,
    load_corpus_time_machine,
    load_data_time_machine,
    load_train_heldout,
    normalize,
)
from .gates import Force, GateTrace, force_gates, half_lives, trace_gates, write_on
from .gru import PARAM_NAMES, get_params, gru, gru_switched, init_gru_state
from .models import (
    CheckpointError,
    RNNModel,
    RNNModelScratch,
    load_checkpoint,
    params_from_nn_gru,
    params_to_nn_gru,
    save_checkpoint,
    try_gpu,
)
from .pretrained import load_pretrained
from .trainer import History, TrainingError, evaluate_perplexity, grad_clipping, predict, train

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "PARAM_NAMES",
    "CheckpointError",
    "CorpusError",
    "Force",
    "GRUFunction",
    "GateTrace",
    "History",
    "RNNModel",
    "RNNModelScratch",
    "SeqDataLoader",
    "TrainingError",
    "Vocab",
    "evaluate_perplexity",
    "fast_gru",
    "force_gates",
    "get_params",
    "grad_clipping",
    "gru",
    "gru_backward",
    "gru_forward",
    "gru_step_backward",
    "gru_switched",
    "half_lives",
    "init_gru_state",
    "load_checkpoint",
    "load_corpus_time_machine",
    "load_data_time_machine",
    "load_pretrained",
    "load_train_heldout",
    "normalize",
    "params_from_nn_gru",
    "params_to_nn_gru",
    "predict",
    "save_checkpoint",
    "trace_gates",
    "train",
    "try_gpu",
    "write_on",
]
