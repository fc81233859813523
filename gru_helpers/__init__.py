"""The small package behind a step-by-step lesson on the gated recurrent unit (GRU).

The names below are enough to run the whole lesson. Figures are in ``gru_helpers.plotting``,
sliders in ``gru_helpers.widgets``; these are imported only when they are asked for.
"""

from .bptt import gru_backward, gru_forward, gru_step_backward
from .checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from .corpus import CorpusError, normalize
from .dataset import (
    SeqDataLoader,
    Vocab,
    load_corpus_time_machine,
    load_data_time_machine,
    load_slice,
    load_train_heldout,
)
from .equations import (
    PARAM_NAMES,
    get_params,
    gru,
    gru_step,
    gru_switched,
    init_gru_state,
    unroll,
)
from .fast import FastGRUModel, GRUFunction, fast_gru
from .gates import Clamp, GateTrace, clamp_gates, continue_text, half_lives, trace_gates
from .models import (
    RNNModel,
    RNNModelScratch,
    params_from_rnn_model,
    params_to_rnn_model,
    try_gpu,
)
from .ngrams import ngram_probabilities
from .pretrained import load_pretrained
from .trainer import (
    History,
    Scores,
    TrainingError,
    UnfinishedError,
    detach_state,
    evaluate_perplexity,
    fit_temperature,
    grad_clipping,
    predict,
    require_finished,
    score,
    train,
)

__version__ = "0.2.0"

__all__ = [
    "PARAM_NAMES",
    "CheckpointError",
    "Clamp",
    "CorpusError",
    "FastGRUModel",
    "GRUFunction",
    "GateTrace",
    "History",
    "RNNModel",
    "RNNModelScratch",
    "Scores",
    "SeqDataLoader",
    "TrainingError",
    "UnfinishedError",
    "Vocab",
    "clamp_gates",
    "continue_text",
    "detach_state",
    "evaluate_perplexity",
    "fast_gru",
    "fit_temperature",
    "get_params",
    "grad_clipping",
    "gru",
    "gru_backward",
    "gru_forward",
    "gru_step",
    "gru_step_backward",
    "gru_switched",
    "half_lives",
    "init_gru_state",
    "load_checkpoint",
    "load_corpus_time_machine",
    "load_data_time_machine",
    "load_pretrained",
    "load_slice",
    "load_train_heldout",
    "ngram_probabilities",
    "normalize",
    "params_from_rnn_model",
    "params_to_rnn_model",
    "predict",
    "require_finished",
    "save_checkpoint",
    "score",
    "trace_gates",
    "train",
    "try_gpu",
    "unroll",
]
