"""MB/s of character 1-3-gram TF-IDF, ours and scikit-learn's, fit and transform, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/tfidf.py [--runs 3]

The texts are the training texts of thucnews_titles and sst2 in YANMO_DATA; megabytes are of their UTF-8. Both sides
start from the same lists of strings, the runs take turns, medians count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer

from yanmo.text.ngrams import NgramConfig, hash_column
from yanmo.text.tfidf import fit_transform

FILES = ("thucnews_titles/train.txt", "sst2/train.tsv")
CONFIG = NgramConfig(word_ngrams=None, char_ngrams=(1, 3))


def read_texts(path: Path) -> list[str]:
    return [line.split("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()]


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    data = Path(os.environ.get("YANMO_DATA", "../shared/data"))
    print(f"{'file':28}{'MB':>7}{'yanmo MB/s':>12}{'sklearn MB/s':>14}{'ratio':>8}")
    for name in FILES:
        if not (data / name).exists():
            sys.exit(f"{data / name} is missing; set YANMO_DATA to the folder of the data sets")
        texts = read_texts(data / name)
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        ours, theirs = [], []
        fit_transform(hash_column(texts[:100], CONFIG))
        for _ in range(runs):
            ours += [seconds(lambda texts=texts: fit_transform(hash_column(texts, CONFIG))) for _ in range(3)]
            peer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
            theirs.append(seconds(lambda texts=texts, peer=peer: peer.fit_transform(texts)))
        rate, peer_rate = megabytes / statistics.median(ours), megabytes / statistics.median(theirs)
        print(f"{name:28}{megabytes:7.2f}{rate:12.2f}{peer_rate:14.2f}{rate / peer_rate:8.1f}")


if __name__ == "__main__":
    main()
