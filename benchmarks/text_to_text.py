"""Text to text: spelling to sound, pinyin to characters, English to Chinese; joint n-grams, networks, both together.

    python benchmarks/text_to_text.py sounds                          # cmudict_g2p with pairs
    python benchmarks/text_to_text.py pinyin --set order=5            # thucnews_titles with pairs; needs pypinyin
    python benchmarks/text_to_text.py translation --model copy        # what the nearest training pair gets
    python benchmarks/text_to_text.py sounds --model t5-4x256 --set num_epochs=20 --set batch_tokens=4096
    python benchmarks/text_to_text.py sounds --mix runs/text/sounds/pairs runs/text/sounds/t5-4x256
    python benchmarks/text_to_text.py --write                         # the dated page of what was measured

``sounds``: comments and ``(n)`` stripped, stress removed, split by the MD5 of the word, the best variant counts.
``pinyin``: the titles of every split without what is no ideograph, read without tones. ``translation``: dev without the
rows that share a side with train. Rows go to ``runs/text/results.jsonl``.
"""

import argparse
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from heading import machine_lines
from pages import page_path

import yanmo
from yanmo.metrics.written import WRITTEN_MEASURES, written_statistics

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("YANMO_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "runs" / "text"
RESULTS = OUT / "results.jsonl"
SPLITS = ("train", "valid", "test")
TEST_PLACE, VALID_PLACE = 9, 8
IDEOGRAPHS = re.compile(r"[\u4e00-\u9fff]+")
KEYS = (
    "what",
    "model",
    "exact match",
    "character errors",
    "token errors",
    "chrF",
    "minutes to learn",
    "texts a second",
    "note",
)
ASKED = """\
| what | asked |
|---|---|
| sounds, from scratch | word errors, without exact match, at most 26 %, phoneme (token) errors at most 6.5 % |
| the same with joint n-grams mixed in | word errors at most 24 % |
| pinyin | character errors at most 8 % |
| translation | chrF at least 15 |
"""

Pair = tuple[str, list[str]]
"""A text, and the texts that count as right for it."""


def main() -> int:
    """Measure what the arguments name, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=tuple(SOURCES), default="sounds")
    parser.add_argument("--model", default="pairs", help="what train takes, or copy")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of train")
    parser.add_argument("--mix", nargs="+", metavar="BUNDLE", help="measure an ensemble of these, weighted on valid")
    parser.add_argument("--bundle", help="measure this one and train none")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.write:
        page_path("text_to_text").write_text(page(), encoding="utf-8")
        return 0
    OUT.mkdir(parents=True, exist_ok=True)
    row = {"what": arguments.what, **measured(arguments)}
    print(json.dumps(row, ensure_ascii=False))
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return 0


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a row of the page: what a model writes for the test rows."""
    data, folder = prepared(arguments.what), OUT / arguments.what
    if arguments.model == "copy":
        return {"model": "copy of the nearest training pair", **copied(data)}
    start, out, note = time.perf_counter(), folder / arguments.model.replace("/", "-"), ""
    if arguments.mix:
        out = numbered(folder / "mixed")
        bundle = yanmo.ensemble(data, arguments.mix, method="weighted", out=out)
        note = f"weights {json.loads((bundle.path / 'ensemble.json').read_text())['weights']}"
    elif arguments.bundle:
        out = Path(arguments.bundle)
    else:
        out = numbered(out)
        yanmo.train(data, model=arguments.model, out=out, **dict(map(key_of, arguments.set)))
        note = " ".join(arguments.set)
    minutes = (time.perf_counter() - start) / 60
    found = written_by(out, data)
    name = " and ".join(Path(one).name for one in arguments.mix) if arguments.mix else out.name
    return {"model": name, **found, "minutes to learn": round(minutes, 2), "note": note}


def key_of(given: str) -> tuple[str, Any]:
    """Return a key of train with its value."""
    name, _, value = given.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def numbered(folder: Path) -> Path:
    """Return a folder that is not there yet."""
    return next(one for number in range(1000) if not (one := Path(f"{folder}-{number}") if number else folder).exists())


def prepared(what: str) -> Path:
    """Return the Dataset."""
    folder = OUT / what / "data"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    paths = {}
    for split, pairs in SOURCES[what]().items():
        paths[split] = folder.parent / f"{split}.jsonl"
        lines = [json.dumps({"text": text, "target": right}, ensure_ascii=False) for text, right in pairs]
        paths[split].write_text("\n".join(lines) + "\n", encoding="utf-8")
    given = {split: paths[split] for split in ("valid", "test") if split in paths}
    yanmo.prepare(paths["train"], out=folder, task="text_to_text", valid_ratio=0.05, **given)
    return folder


def sounds() -> dict[str, list[Pair]]:
    """Return words with their phonemes without stress, by split."""
    words: dict[str, list[str]] = {}
    for line in (DATA / "cmudict_g2p" / "cmudict.dict").read_text(encoding="utf-8").splitlines():
        word, *phonemes = line.split("#")[0].split()
        variants = words.setdefault(re.sub(r"\(\d+\)$", "", word), [])
        sound = " ".join(one.rstrip("012") for one in phonemes)
        if sound not in variants:
            variants.append(sound)
    found: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for word, variants in words.items():
        place = int(hashlib.md5(word.encode(), usedforsecurity=False).hexdigest(), 16) % 10
        found["test" if place == TEST_PLACE else "valid" if place == VALID_PLACE else "train"].append((word, variants))
    return found


def pinyin() -> dict[str, list[Pair]]:
    """Return the syllables of titles with their characters, by split."""
    from pypinyin import lazy_pinyin

    found = {}
    for split, name in zip(SPLITS, ("train", "dev", "test"), strict=True):
        (path,) = (DATA / "thucnews_titles").glob(f"{name}*.t*")
        titles = [line.split("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()]
        kept = [title for one in titles if (title := "".join(IDEOGRAPHS.findall(one)))]
        found[split] = [(" ".join(lazy_pinyin(title)), [title]) for title in kept]
    return found


def translation() -> dict[str, list[Pair]]:
    """Return English sentences with their Chinese ones; dev is the test, without rows that share a side with train."""
    train, dev = (list(sentences(f"{name}*")) for name in ("train", "dev"))
    known = {side for pair in train for side in pair}
    rows = [pair for pair in dev if not known.intersection(pair)]
    return {split: [(one, [other]) for one, other in pairs] for split, pairs in (("train", train), ("test", rows))}


def sentences(pattern: str) -> Iterable[tuple[str, str]]:
    """Yield the sentence pairs of a file."""
    (path,) = (DATA / "tatoeba_en_zh").glob(pattern)
    for line in path.read_text(encoding="utf-8").splitlines():
        english, chinese, *_ = line.split("\t")
        yield english, chinese


SOURCES = {"sounds": sounds, "pinyin": pinyin, "translation": translation}


def test_rows(data: Path) -> tuple[list[str], list[list[str]]]:
    """Return the texts of the test rows with their references."""
    rows = yanmo.Dataset.open(data).split("test")
    return rows["text"].to_list(), rows["targets"].to_list()


def written_by(bundle: Path, data: Path) -> dict[str, Any]:
    """Return what a Bundle scores on the test rows, and how many it writes a second."""
    texts, references = test_rows(data)
    with yanmo.load(bundle) as predictor:
        predictor.infer(texts[:64])
        start = time.perf_counter()
        evidence, _ = predictor.infer(texts)
        seconds = time.perf_counter() - start
    return {**scored(evidence.texts, references), "texts a second": round(len(texts) / seconds, 1)}


def copied(data: Path) -> dict[str, Any]:
    """Return what is scored by the target of the training text that shares most words with each test text."""
    rows = yanmo.Dataset.open(data).split("train")
    learned, targets = rows["text"].to_list(), rows["targets"].to_list()
    texts, references = test_rows(data)
    start = time.perf_counter()
    written = [targets[place][0] for place in nearest(texts, learned)]
    return {**scored(written, references), "texts a second": round(len(texts) / (time.perf_counter() - start), 1)}


def nearest(texts: Sequence[str], learned: Sequence[str]) -> list[int]:
    """Return of every text the most alike training text, by the cosine of TF-IDF of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=r"[\w']+", sublinear_tf=True)
    known = vectorizer.fit_transform(learned)
    return [int(np.asarray((known @ row.T).todense()).argmax()) for row in vectorizer.transform(texts)]


def scored(texts: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return the scores of written texts, in percent."""
    statistics_NS = written_statistics(texts, references)
    scores = {one.name: round(100 * one.score(statistics_NS), 2) for one in WRITTEN_MEASURES}
    names = {
        "exact_match": "exact match",
        "character_error_rate": "character errors",
        "token_error_rate": "token errors",
    }
    return {names.get(name, {"chrf": "chrF"}.get(name, name)): score for name, score in scores.items()}


def page() -> str:
    """Return the page of all that was measured, the last row of each model."""
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    last = {(row["what"], row["model"]): row for row in rows}
    table = [f"| {' | '.join(KEYS)} |", f"|{'---|' * len(KEYS)}"]
    table += [f"| {' | '.join(str(row.get(key, '')) for key in KEYS)} |" for row in last.values()]
    return (
        f"# Text to text\n\n{machine_lines()}\n\n`python benchmarks/text_to_text.py WHAT --model MODEL`; scores of the "
        f"test rows in percent.\n\n" + "\n".join(table) + f"\n\n{ASKED}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
