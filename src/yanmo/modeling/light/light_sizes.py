"""The sizes of the light networks, by what they decide about; it builds none."""

from __future__ import annotations

from typing import Any

__all__ = ["SIZES"]

LIGHT_SIZES: dict[str, dict[str, Any]] = {
    "textcnn": {
        "embedding_size": 128,
        "kernel_sizes": [1, 2, 3, 4],
        "num_filters": 320,
        "embedding_dropout": 0.2,
        "token_dropout": 0.1,
    },
    "bilstm": {"embedding_size": 128, "hidden_size": 128},
    "ngram": {"num_buckets": 1 << 17, "embedding_size": 48, "hidden_size": 256, "ngram_dropout": 0.2},
}
TAGGER_SIZES: dict[str, dict[str, Any]] = {
    "textcnn": {
        "per_unit": True,
        "embedding_size": 96,
        "num_buckets": 1 << 16,
        "ngram_size": 64,
        "ngram_dropout": 0.6,
        "kernel_sizes": [1, 3, 5],
        "num_filters": 96,
        "embedding_dropout": 0.3,
    },
    "bilstm": {
        "per_unit": True,
        "embedding_size": 96,
        "num_buckets": 1 << 16,
        "ngram_size": 64,
        "ngram_dropout": 0.6,
        "token_dropout": 0.2,
        "hidden_size": 160,
    },
}
READER_SIZES: dict[str, dict[str, Any]] = {
    "bilstm": {
        "reads_passages": True,
        "embedding_size": 96,
        "num_buckets": 1 << 16,
        "ngram_size": 32,
        "ngram_dropout": 0.5,
        "token_dropout": 0.1,
        "hidden_size": 96,
    },
}
PARSER_SIZES: dict[str, dict[str, Any]] = {
    "textcnn": TAGGER_SIZES["textcnn"],
    "bilstm": {
        "reads_kinds": True,
        "embedding_size": 128,
        "kind_size": 64,
        "hidden_size": 200,
        "num_layers": 3,
        "token_dropout": 0.2,
    },
}
SIZES = {"texts": LIGHT_SIZES, "units": TAGGER_SIZES, "passages": READER_SIZES, "trees": PARSER_SIZES}
"""What is decided about to the sizes of each light family."""
