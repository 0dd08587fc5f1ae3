"""The keys of ``train``, in five groups that one flat config is made of; it knows no model and no loop.

A method from the literature is one key, named with its source; its default leaves it out.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from yanmo.config import Config
from yanmo.errors import ConfigError
from yanmo.executors.choice import HERE, ExecutorAddress
from yanmo.integrations.tracking import TrackedConfig
from yanmo.machine import has_compiler
from yanmo.modeling.settings import Activation, Compile, OptimizerName, Schedule, Sharding
from yanmo.text.language_tokens import Tokenization

__all__ = ["ComputeKeys", "LearnKeys", "TrainConfig", "check_compiler"]


class ModelKeys(Config):
    """Which network, and which of its weights learn."""

    model: str = "ngram"
    """ngram, linear, textcnn, bilstm, window, arcs; bert, roberta, albert or electra with layers x width such as
    bert-4x312; a local folder; or a hub id. Language models: kneser-ney; gpt2, gpt, lstm or gcnn with layers x
    width. For text to text: pairs; t5 with layers x width, such as t5-6e2dx256 for 6 layers that read and 2 that
    write."""

    max_length: int | None = Field(default=None, ge=4)
    """Most tokens that are read of a text, special tokens included."""

    max_target_length: int | None = Field(default=None, ge=2)
    """Most tokens of a text that is written for another, the one that ends it included: what is longer is cut in
    training, which is counted, and nothing longer is written."""

    num_beams: int = Field(default=1, ge=1, le=64)
    """Of a model that writes texts for others, how many beginnings of each are kept when it answers, unless it is asked
    otherwise; 1 always takes the likeliest token."""

    vocab_size: int | None = Field(default=None, ge=16)
    """Most entries of the vocabulary that is trained from the texts."""

    tokenization: Tokenization = "auto"
    """What the tokenizer of a language model from scratch cuts texts into: merged bytes, characters, symbols (words
    that recur, such as phonemes or syllables, and characters), or (for kneser-ney) words; auto: characters for
    kneser-ney and where most letters are Chinese, symbols for pairs of which one side is words of a small set, else
    bytes."""

    order: int | None = Field(default=None, ge=1, le=20)
    """Most tokens of an n-gram of kneser-ney, by default 7 of characters, 5 of words or bytes; or most units of one of
    pairs, by default 8."""

    beam: int | None = Field(default=None, ge=1, le=64)
    """Of arcs: how many sequences of actions of a sentence go forward together; 1 takes the best action at every step
    (Collins, Roark 2004, ACL P04-1015)."""

    activation: Activation | None = None
    """The function between the two products of a layer's feed-forward part, of a shape from scratch; by default the
    family's own."""

    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Share of the activations that is dropped in training."""

    multi_sample_dropout: int = Field(default=1, ge=1, le=32)
    """Dropout masks of the last layer that each text is scored with, the loss being their mean (Inoue 2019,
    arXiv:1905.09788)."""

    pooling: Literal["auto", "first", "mean"] = "auto"
    """What a checkpoint's classifier reads: the first token's state, or the mean of all tokens'. auto: what its own
    classifier was trained with, else what its folder says, else whichever a linear model on frozen features answers
    valid better with."""

    head_start: Literal["probe", "random"] = "probe"
    """What the classifier of a checkpoint begins with, if it has none: a linear model on the frozen features, which
    spares these the first large steps (Kumar et al. 2022, arXiv:2202.10054), or random weights."""

    frozen_layers: int = Field(default=0, ge=0)
    """The embeddings and so many of the lowest layers keep their weights (Lee et al. 2019, arXiv:1911.03090)."""

    lora_rank: int = Field(default=0, ge=0)
    """Only low-rank changes of the attention's weights are learned, of this rank, and merged into the Bundle (Hu et al.
    2022, arXiv:2106.09685); 0 learns all weights."""


class OptimizerKeys(Config):
    """How the weights move."""

    learning_rate: float | None = Field(default=None, gt=0)
    """Peak of the schedule."""

    optimizer: OptimizerName | None = None
    """adamw; muon: matrices within layers move in orthogonal steps, of which fewer are needed (Jordan et al. 2024); or
    scaled-adamw: each weight moves in proportion to its size (Nawrot 2023, arXiv:2309.02373). By default muon for gpt,
    scaled-adamw for t5, else adamw."""

    schedule: Schedule = "linear"
    """After the rise: linear or cosine falls to zero (Loshchilov, Hutter 2017, arXiv:1608.03983), constant stays, wsd
    stays and falls in the last fifth of the steps (Hu et al. 2024, arXiv:2404.06395)."""

    warmup_ratio: float | None = Field(default=None, ge=0, le=1)
    """Share of all steps over which the learning rate rises."""

    layer_decay: float | None = Field(default=None, gt=0, le=1)
    """Each layer learns with this share of the learning rate of the one above it (Howard, Ruder 2018,
    arXiv:1801.06146)."""

    batch_size: int | None = Field(default=None, ge=1)
    """Texts in a step of the optimizer, those of all workers together."""

    gradient_accumulation_steps: int | None = Field(default=None, ge=1)
    """Parts that a batch is cut into, computed one after the other: less memory, the same step."""

    num_epochs: int | None = Field(default=None, ge=1)
    """Most passes over the training split."""

    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay of the optimizer; biases and normalization layers have none."""

    max_grad_norm: float | None = Field(default=None, gt=0)
    """A longer gradient is scaled down to this length."""

    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Evaluate and publish a moving average of the weights that keeps this share of itself at every step (Polyak,
    Juditsky 1992, doi:10.1137/0330046)."""

    swa_start: float = Field(default=1.0, ge=0, le=1)
    """Evaluate and publish the mean of the weights of all steps after this share of them (Izmailov et al. 2018,
    arXiv:1803.05407); 1 leaves it out."""

    interpolate_weights: bool = True
    """Where a checkpoint's classifier begins with a linear model, publish the weights on the line from those that the
    training began with to those it found which answer valid best (Wortsman et al. 2022, arXiv:2109.01903)."""


class LossKeys(Config):
    """What is made small."""

    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    """Share of each target that is spread over all classes."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: rare classes count more in the loss, so that all classes count alike."""

    focal_gamma: float = Field(default=0.0, ge=0)
    """Texts that are answered well already count less, the more so the larger this is (Lin et al. 2017,
    arXiv:1708.02002)."""

    r_drop: float = Field(default=0.0, ge=0)
    """Weight of the difference between two passes with different dropout (Wu et al. 2021, arXiv:2106.14448)."""

    fgm_epsilon: float = Field(default=0.0, ge=0)
    """Also learn from embeddings that are moved this far in the direction that hurts most (Miyato et al. 2017,
    arXiv:1605.07725)."""


class ComputeKeys(Config):
    """How a step is computed; ``pretrain`` has these keys, too."""

    batch_tokens: int | None = Field(default=None, ge=1)
    """Most tokens in a step, padding included, those of all workers together: of long texts a step has fewer than
    batch_size; n-grams are the tokens of ngram."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of encoders: auto measures which one is faster where the processor has bf16 products."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to compute with; by default one for each CPU that this process may use."""

    compile: Compile = "never"
    """Compile the network before the first step: auto measures in runs of half an hour or more whether that saves more
    time than it takes. It needs a C++ compiler."""


def check_compiler(keys: ComputeKeys) -> None:
    """Refuse to compile where there is no compiler.

    Raises:
        ConfigError: As said.
    """
    if keys.compile == "always" and not has_compiler():
        raise ConfigError(
            "The 'compile' parameter must be never or auto here: there is no C++ compiler. Got 'always' instead.",
            hint="Install g++ or clang++, or leave compile out.",
        )


class RunKeys(Config):
    """When it is measured and stopped, and what its randomness is."""

    eval_steps: int | None = Field(default=None, ge=1)
    """Evaluate on the validation split, and write a checkpoint, every so many steps; by default after each epoch, with
    a checkpoint every 30 seconds."""

    metric: str | None = None
    """Score on the validation split that says which evaluation's weights are kept: one of the task's measures, such as
    accuracy, macro_f1 or micro_f1, or loss; by default its first. Where the score is the same, the lower loss does."""

    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations without a better score."""

    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    """Seed of weights, dropout and the order of the texts."""

    offline: bool = False
    """Refuse to load a model over the network."""

    # Left out of what is kept: it says where the work begins and not what is made.
    fork: bool = Field(default=False, exclude=True)
    """Start anew where the data or a key has changed since the checkpoint; without it that is refused."""


class LearnKeys(
    RunKeys, ComputeKeys, LossKeys, OptimizerKeys, ModelKeys
):  # pydantic lists the fields of the last base first
    """What every training has; what is not given is the default of the model's family."""


class TrainConfig(TrackedConfig, LearnKeys):
    """Which model, and how it is trained; what is not given is the default of the model's family."""

    frozen: bool = False
    """A recipe for checkpoints: the encoder stays as it is, the features of every text are computed once, and a linear
    model on them is the classifier."""

    few_shot: bool = False
    """A recipe for checkpoints and few rows: first the encoder learns which texts have one label, by all pairs of them,
    then a linear model on its features is the classifier (Tunstall et al. 2022, arXiv:2209.11055)."""

    sharding: Sharding = "none"
    """full: several workers spread weights, gradients and the optimizer's state over all of them, for models that do
    not fit into each (Zhao et al. 2023, arXiv:2304.11277)."""

    folds: int | None = Field(default=None, ge=2, le=20)
    """Also train on all folds but one, for each of so many folds, and keep the answers to the rows left out: for
    stacking and audit."""

    executor: ExecutorAddress = HERE
    """Who trains the folds: local, this process, one after the other; local:N, N processes of this machine, or
    ray://HOST:PORT, the machines of a Ray cluster, side by side. The model itself is trained in this process."""
