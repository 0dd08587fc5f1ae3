"""Tiny encoders of every family whose graph is written, with weights that make attention uneven."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import (
    AlbertConfig,
    BertConfig,
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from yanmo.modeling.networks.pooling import classifier_class

VOCAB_SIZE, MAX_LENGTH = 60, 24
COMMON = {"vocab_size": VOCAB_SIZE, "max_position_embeddings": MAX_LENGTH + 6, "num_labels": 3}
SIZES = {**COMMON, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
FAMILIES = {
    "bert": lambda: BertConfig(**SIZES),
    "roberta": lambda: RobertaConfig(**SIZES, type_vocab_size=1),
    "xlm-roberta": lambda: XLMRobertaConfig(**SIZES, type_vocab_size=2),
    "camembert": lambda: CamembertConfig(**SIZES, type_vocab_size=1),
    "electra": lambda: ElectraConfig(**SIZES, embedding_size=16),
    "albert": lambda: AlbertConfig(**SIZES, embedding_size=16),
    "albert in two groups": lambda: AlbertConfig(**SIZES, embedding_size=16, num_hidden_groups=2),
    "distilbert": lambda: DistilBertConfig(**COMMON, dim=32, n_layers=3, n_heads=4, hidden_dim=40),
    "mpnet": lambda: MPNetConfig(**SIZES),
    "modernbert": lambda: ModernBertConfig(**SIZES, local_attention=8, pad_token_id=0),
    "modernbert, mean of the tokens": lambda: ModernBertConfig(
        **SIZES, local_attention=8, pad_token_id=0, classifier_pooling="mean"
    ),
    "bert, silu": lambda: BertConfig(**SIZES, hidden_act="silu"),
    "bert, mean of the tokens": lambda: BertConfig(**SIZES, pooling="mean"),
    "albert, mean of the tokens": lambda: AlbertConfig(**SIZES, embedding_size=16, pooling="mean"),
    "distilbert, mean of the tokens": lambda: DistilBertConfig(
        **COMMON, dim=32, n_layers=3, n_heads=4, hidden_dim=40, pooling="mean"
    ),
}


def make_network(config):
    """Return a network with random weights, biases and normalizations, large enough that every part matters."""
    torch.manual_seed(0)
    kind = classifier_class(config)
    module = getattr(kind, "from_config", kind)(config).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.25)
            elif "norm" in name.lower() and name.endswith("weight"):
                parameter.uniform_(0.6, 1.4)
            else:
                parameter.normal_(0, 0.1)
    return module


@pytest.fixture(scope="session")
def get_network(tmp_path_factory):
    """Return a network of the table and the folder in which transformers saved it."""
    made = {}

    def get(name):
        if name not in made:
            module, folder = make_network(FAMILIES[name]()), tmp_path_factory.mktemp("network")
            module.save_pretrained(folder)
            made[name] = module, folder
        return made[name]

    return get


@pytest.fixture(scope="session")
def score_torch():
    """Return logits_BC of a torch network for batches as a graph takes them."""

    def score(module, feed):
        ids_BT, lengths_B = (torch.from_numpy(feed[name].astype(np.int64)) for name in ("input_ids", "lengths"))
        inputs = {"input_ids": ids_BT, "attention_mask": (torch.arange(ids_BT.shape[1]) < lengths_B[:, None]).long()}
        if "token_type_ids" in feed:
            inputs["token_type_ids"] = torch.from_numpy(feed["token_type_ids"].astype(np.int64))
        with torch.inference_mode():
            return module(**inputs).logits.numpy()

    return score


@pytest.fixture(scope="session")
def make_feeds():
    """Return batches of mixed lengths, from one text to many, up to the longest there may be."""

    def make(pad_id, *, has_types=False, shapes=((1, 1), (1, MAX_LENGTH), (7, 5), (16, 19))):
        generator = np.random.default_rng(0)
        feeds = []
        for batch, length in shapes:
            lengths_B = generator.integers(1, length + 1, batch)
            lengths_B[0] = length
            is_token_BT = np.arange(length) < lengths_B[:, None]
            ids_BT = np.where(is_token_BT, generator.integers(5, VOCAB_SIZE, (batch, length)), pad_id)
            feed = {"input_ids": ids_BT.astype(np.int32), "lengths": lengths_B.astype(np.int32)}
            if has_types:
                feed["token_type_ids"] = (is_token_BT & (np.arange(length) >= lengths_B[:, None] // 2)).astype(np.int32)
            feeds.append(feed)
        return feeds

    return make


@pytest.fixture(scope="session")
def score_graph():
    """Return logits_BC of a graph for each batch."""

    def score(content, feeds):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return [session.run(["logits"], feed)[0] for feed in feeds]

    return score
