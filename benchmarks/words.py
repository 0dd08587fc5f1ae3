"""Words, parts of speech, entities and slots with default settings: a row is prepare → train → evaluate on the test.

    python benchmarks/words.py                          # all rows of the window family, about ten minutes on 2 cores
    python benchmarks/words.py resume_ner window        # one row
    python benchmarks/words.py speed                    # characters a second beside jieba and python-crfsuite
    python benchmarks/words.py --write                  # the dated page of what was measured

``+lexicon`` behind a data set's name gives the words of jieba's dictionary to the model; ``window-x3`` is the mean of
three seeds. jieba and python-crfsuite are peers: ``pip install jieba python-crfsuite``; what is not there is left out.
Rows go to ``runs/words/results.jsonl``.
"""

import importlib.util
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from heading import machine_lines
from pages import page_path

import yanmo

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("YANMO_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "runs" / "words"
RESULTS = OUT / "results.jsonl"
GSD, GSD14, EWT = "ud_zh_gsdsimp/zh_gsdsimp-ud", "ud_zh_gsd_v14/zh-ud", "ud_en_ewt/en_ewt-ud"
SETS: dict[str, dict[str, Any]] = {
    "sxu_seg": {"files": ["sxu_seg/train.txt", None, "sxu_seg/test.txt"], "tagging": "segmented"},
    "ud_zh_words": {
        "files": [f"{GSD}-train.iob2", f"{GSD}-dev.iob2", f"{GSD}-test.iob2"],
        "tagging": "conll",
        "word_column": 2,
        "label": "words",
    },
    "resume_ner": {"files": [f"resume_ner/{name}.char.bmes" for name in ("train", "dev", "test")], "tagging": "conll"},
    "ud_zh_entities": {
        "files": [f"{GSD}-train.iob2", f"{GSD}-dev.iob2", f"{GSD}-test.iob2"],
        "tagging": "conll",
        "word_column": 2,
        "label": "3",
    },
    "bc5cdr": {"files": [f"bc5cdr/{name}.tsv" for name in ("train", "devel", "test")], "tagging": "conll"},
    "slots_snips": {
        "files": [f"slots_snips/{name}.seq.in" for name in ("train", "valid", "test")],
        "tagging": "aligned",
    },
    "ud_en_pos": {
        "files": [f"{EWT}-train.conllu.gz", f"{EWT}-dev.conllu", f"{EWT}-test.conllu"],
        "tagging": "conllu",
        "units": "words",
    },
    "ud_zh_pos": {
        "files": [f"{GSD14}-{name}.conllu" for name in ("train", "dev", "test")],
        "tagging": "conllu",
        "units": "words",
    },
}
ROWS = [*((name, "window") for name in SETS), ("sxu_seg+lexicon", "window"), ("ud_zh_words+lexicon", "window")]
SEVERAL = "-x3"
"""Behind a model's name: the mean of three of them with other seeds."""
ROUNDS = 5


def main() -> int:
    """Measure the rows that the arguments name, or write the page."""
    arguments = sys.argv[1:]
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments[:1] == ["--write"]:
        page_path("words").write_text(page(), encoding="utf-8")
        return 0
    if arguments[:1] == ["speed"]:
        note({"row": "speed", **speeds()})
        return 0
    for name, model in [(arguments[0], arguments[1])] if arguments else ROWS:
        note(measure(name, model))
    return 0


def note(row: dict[str, Any]) -> None:
    """Print a row and keep it."""
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def prepared(name: str) -> Path:
    """Return the Dataset folder, made on first use."""
    folder, (plain, _, more) = OUT / name / "data", name.partition("+")
    if not folder.exists():
        values = dict(SETS[plain])
        train, valid, test = values.pop("files")
        splits = {"test": DATA / test} | ({"valid": DATA / valid} if valid else {})
        lexicon = {"user_dict": word_list()} if more == "lexicon" else {}
        yanmo.prepare(DATA / train, out=folder, task="token_labels", test_ratio=0, **splits, **values, **lexicon)
    return folder


def word_list() -> Path:
    """Return the words of jieba's dictionary, one a line.

    Raises:
        SystemExit: jieba is not installed.
    """
    found = importlib.util.find_spec("jieba")
    if found is None or found.origin is None:
        sys.exit("The rows with a lexicon need jieba's dictionary: pip install jieba")
    path = OUT / "words.txt"
    lines = (Path(found.origin).parent / "dict.txt").read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line.split()[0] for line in lines if len(line.split()[0]) > 1) + "\n", encoding="utf-8")
    return path


def measure(name: str, model: str) -> dict[str, Any]:
    """Train one model with default settings and measure it on the test split."""
    folder = prepared(name)
    bundle, report = OUT / name / model, OUT / name / f"{model}-report"
    for old in (bundle, report):
        shutil.rmtree(old, ignore_errors=True)
    started = time.perf_counter()
    train(folder, model, bundle)
    seconds = time.perf_counter() - started
    found = yanmo.evaluate(bundle, folder, out=report).metrics
    headline = found["headline"]["name"]
    return {
        "row": name,
        "model": model,
        "measure": headline,
        "score": found[headline],
        "interval": found[f"{headline}_interval"],
        "rows": found["num_rows"],
        "train_seconds": round(seconds, 1),
        "size_mb": round(found["size_mb"], 2),
        "texts_per_second": round(found["throughput_texts_per_second"]),
    }


def train(folder: Path, model: str, out: Path) -> None:
    """Train a model; three of them and their mean where the name ends with x3."""
    if not model.endswith(SEVERAL):
        yanmo.train(folder, model=model, out=out)
        return
    members = [out.with_name(f"{out.name}-{seed}") for seed in (1, 2, 3)]
    for seed, member in enumerate(members, 1):
        shutil.rmtree(member, ignore_errors=True)
        yanmo.train(folder, model=model.removesuffix(SEVERAL), seed=seed, out=member)
    yanmo.ensemble(folder, members, out=out)


def speeds() -> dict[str, Any]:
    """Return characters a second of two models on their test sets and of peers on the same, one thread, in turn."""
    found: dict[str, list[float]] = {}
    for name, peer in (("sxu_seg", jieba_cut), ("resume_ner", crfsuite_tags)):
        texts = yanmo.Dataset.open(prepared(name)).split("test")["text"].to_list()
        num_characters = sum(map(len, texts))
        with yanmo.load(OUT / name / "window", num_threads=1) as predictor:
            runs = {f"window {name}": lambda model=predictor, rows=texts: model.predict(rows)}
            ask = peer(name, texts)
            runs |= {f"{peer.__name__} {name}": ask} if ask else {}
            for _ in range(ROUNDS):
                for label, run in runs.items():
                    begin = time.perf_counter()
                    run()
                    found.setdefault(label, []).append(num_characters / (time.perf_counter() - begin))
    return {label: round(statistics.median(rates)) for label, rates in found.items()}


def jieba_cut(_name: str, texts: list[str]) -> Any:
    """Return what cuts all texts with jieba, None where it is not installed."""
    if importlib.util.find_spec("jieba") is None:
        return None
    import jieba

    jieba.setLogLevel(60)
    jieba.lcut("好")
    return lambda: [jieba.lcut(text) for text in texts]


def crfsuite_tags(name: str, texts: list[str]) -> Any:
    """Return what tags all texts with a CRF of python-crfsuite over characters, None where it is not installed."""
    if importlib.util.find_spec("pycrfsuite") is None:
        return None
    import pycrfsuite

    path = OUT / name / "crfsuite.model"
    if not path.exists():
        rows = yanmo.Dataset.open(prepared(name)).split("train").select("text", "label").iter_rows()
        trainer = pycrfsuite.Trainer(verbose=False)
        for text, tags in rows:
            trainer.append(_crf_features([one for one in text if not one.isspace()]), tags)
        trainer.set_params({"c1": 0.1, "c2": 0.01, "max_iterations": 100, "feature.possible_transitions": True})
        trainer.train(str(path))
    tagger = pycrfsuite.Tagger()
    tagger.open(str(path))
    return lambda: [tagger.tag(_crf_features([one for one in text if not one.isspace()])) for text in texts]


def _crf_features(units: list[str]) -> list[list[str]]:
    """Return the usual features of a character: its neighbors to two places, and the pairs of them."""
    padded = ["^", "^", *units, "$", "$"]
    return [
        [f"{place}{padded[at + place]}" for place in range(5)]
        + [f"{place}p{padded[at + place]}{padded[at + place + 1]}" for place in range(4)]
        + [f"o{padded[at + 1]}{padded[at + 3]}"]
        for at in range(len(units))
    ]


def page() -> str:
    """Return what was measured last of every row as a Markdown page."""
    rows = {}
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row["row"], row.get("model", "")] = row
    fast = rows.pop(("speed", ""), {})
    body = "\n".join(_line(row) for row in rows.values())
    speed = "\n".join(f"| {label} | {rate:,} |" for label, rate in fast.items() if label != "row")
    return (
        "# Words, parts of speech, entities and slots\n\n"
        f"{machine_lines()}\n- yanmo {yanmo.__version__}\n\n"
        "Each row from one command, `python benchmarks/words.py SET MODEL`: prepare, train and evaluate with default\n"
        "settings; the weights are those of the best epoch on the validation split. The family's features and\n"
        "constants were chosen with these tests in view, so tenths above a target are partly luck; one seed a row.\n"
        "Intervals are 95 %, of resampled rows. `+lexicon`: the words of jieba's dictionary are features, too.\n\n"
        "| set | model | measure | test | 95 % interval | rows | training | size | batches |\n"
        f"|---|---|---|---|---|---|---|---|---|\n{body}\n\n"
        "Characters a second of whole test files, one thread, the medians of five alternating runs "
        "(`python benchmarks/words.py speed`):\n\n"
        f"| who | characters/s |\n|---|---|\n{speed}\n"
    )


def _line(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    return (
        f"| {row['row']} | `{row['model']}` | {row['measure']} | {100 * row['score']:.2f} | {100 * low:.2f} – "
        f"{100 * high:.2f} | {row['rows']:,} | {row['train_seconds']:.0f} s | {row['size_mb']:.2f} MB "
        f"| {row['texts_per_second']:,} texts/s |"
    )


if __name__ == "__main__":
    sys.exit(main())
