"""Trees of sentences with default settings: a row is prepare → train → evaluate on the test split.

    python benchmarks/parsing.py                        # all rows
    python benchmarks/parsing.py ewt arcs               # one row; arcs+beam8, bilstm …
    python benchmarks/parsing.py ewt speed              # words a second of arcs, one thread, beside UDPipe
    python benchmarks/parsing.py trees                  # how many of 100,000 random sentences do not become trees
    python benchmarks/parsing.py --write                # the dated page of what was measured

UDPipe is a peer: ``pip install ufal.udpipe``, and its model in the file UDPIPE_MODEL; what is not there is left out.
Rows go to ``runs/parsing/results.jsonl``.
"""

import importlib.util
import json
import os
import random
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from heading import machine_lines
from pages import page_path

import yanmo
from yanmo.answers.trees import is_tree_N

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("YANMO_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "runs" / "parsing"
RESULTS = OUT / "results.jsonl"
EWT, GSD14 = "ud_en_ewt/en_ewt-ud", "ud_zh_gsd_v14/zh-ud"
SETS = {
    "ewt": [f"{EWT}-train.conllu.gz", f"{EWT}-dev.conllu", f"{EWT}-test.conllu"],
    "zh_gsd14": [f"{GSD14}-{name}.conllu" for name in ("train", "dev", "test")],
}
TAGS = {"zh_gsd14": "xpos"}
"""Which column the parts of speech are of, if not UPOS: the finer ones of the Chinese treebank say more."""
ROWS = [(name, model) for name in SETS for model in ("arcs", "arcs+beam8", "bilstm")]
MEASURES = ("las", "uas", "clas", "las_with_subtypes")
ROUNDS = 5
NUM_RANDOM, LONGEST = 100_000, 300
PIECES = [
    "the",
    "box",
    "Ann",
    "。",
    "，",
    "向量",
    "😀",
    "👩\u200d👩\u200d👧",
    "!",
    "?!",
    "1999",
    "don't",
    "e\u0301",
    "\u200b",
    "ａ",
    "-",
]


def main() -> int:
    """Measure the rows that the arguments name, or write the page."""
    arguments = sys.argv[1:]
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments[:1] == ["--write"]:
        page_path("parsing").write_text(page(), encoding="utf-8")
    elif arguments[:1] == ["trees"]:
        note({"row": "trees", **random_trees(OUT / "ewt" / "arcs")})
    elif arguments[1:] == ["speed"]:
        note({"row": f"{arguments[0]} speed", **speeds(arguments[0])})
    else:
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
    folder = OUT / name / "data"
    if not folder.exists():
        train, valid, test = (DATA / one for one in SETS[name])
        tags = {"label": TAGS[name]} if name in TAGS else {}
        yanmo.prepare(train, valid=valid, test=test, task="dependencies", out=folder, **tags)
    return folder


def measure(name: str, model: str) -> dict[str, Any]:
    """Train one model with default settings and measure it on the test split."""
    folder = prepared(name)
    bundle, report = OUT / name / model, OUT / name / f"{model}-report"
    for old in (bundle, report):
        shutil.rmtree(old, ignore_errors=True)
    family, _, beam = model.partition("+beam")
    started = time.perf_counter()
    yanmo.train(folder, model=family, out=bundle, **({"beam": int(beam)} if beam else {}))
    seconds = time.perf_counter() - started
    found = yanmo.evaluate(bundle, folder, out=report).metrics
    return {
        "row": name,
        "model": model,
        **{one: found[one] for one in MEASURES},
        "interval": found["las_interval"],
        "words": found["num_units"],
        "train_seconds": round(seconds, 1),
        "size_mb": round(found["size_mb"], 2),
        "words_per_second": round(found["throughput_texts_per_second"] * found["num_units"] / found["num_rows"]),
    }


def speeds(name: str) -> dict[str, Any]:
    """Return words a second of arcs on the test split, tags included, and of UDPipe, one thread, in turn."""
    texts = yanmo.Dataset.open(prepared(name)).split("test")["text"].to_list()
    num_words = sum(len(text.split()) for text in texts)
    found: dict[str, list[float]] = {}
    with yanmo.load(OUT / name / "arcs", num_threads=1) as predictor:
        runs = {"arcs": lambda: predictor.infer(texts), "arcs, answers for people": lambda: predictor.predict(texts)}
        ask = udpipe(texts)
        runs |= {"UDPipe": ask} if ask else {}
        for _ in range(ROUNDS):
            for label, run in runs.items():
                begin = time.process_time()
                run()
                found.setdefault(label, []).append(num_words / (time.process_time() - begin))
    return {label: round(statistics.median(rates)) for label, rates in found.items()}


def udpipe(texts: list[str]) -> Any:
    """Return what tags and parses all texts with UDPipe, None where it or a model of it is not here."""
    path = os.environ.get("UDPIPE_MODEL", "")
    if importlib.util.find_spec("ufal") is None or not Path(path).is_file():
        return None
    from ufal.udpipe import Model, Pipeline

    model = Model.load(path)
    pipeline = Pipeline(model, "horizontal", Pipeline.DEFAULT, Pipeline.DEFAULT, "conllu")
    # The pipeline does not keep its model alive.
    return lambda model=model: (model, pipeline.process("\n".join(texts)))


def random_trees(bundle: Path) -> dict[str, Any]:
    """Return of random sentences of odd words how many do not become trees with one root."""
    generator = random.Random(1)
    num_wrong = num_words = 0
    with yanmo.load(bundle, num_threads=1) as predictor:
        for _ in range(NUM_RANDOM // 1000):
            lengths = [int(LONGEST * generator.random() ** 4) for _ in range(1000)]
            texts = [" ".join(generator.choices(PIECES, k=length)) for length in lengths]
            evidence, _ = predictor.infer(texts)
            num_wrong += int((~is_tree_N(evidence.trees_M(), evidence.offsets_N)).sum())
            num_words += int(evidence.offsets_N[-1])
    return {"sentences": NUM_RANDOM, "words": num_words, "no_trees": num_wrong}


def page() -> str:
    """Return what was measured last of every row as a Markdown page."""
    rows = {}
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row["row"], row.get("model", "")] = row
    body = "\n".join(_line(row) for row in rows.values() if "las" in row)
    fast = [row for (name, _), row in rows.items() if name.endswith(" speed")]
    speed = "\n".join(
        f"| {row['row'].removesuffix(' speed')} | {label} | {rate:,} |"
        for row in fast
        for label, rate in row.items()
        if label != "row"
    )
    trees = rows.get(("trees", ""))
    odd = (
        f"\nOf {trees['sentences']:,} random sentences of odd words ({trees['words']:,} of them) {trees['no_trees']} "
        "did not become a tree with one root (`python benchmarks/parsing.py trees`).\n"
        if trees
        else ""
    )
    return (
        "# Trees of sentences\n\n"
        f"{machine_lines()}\n- yanmo {yanmo.__version__}\n\n"
        "Each row from one command, `python benchmarks/parsing.py SET MODEL`: prepare, train and evaluate with\n"
        "default settings; words are given, parts of speech (in Chinese XPOS) are those of the Bundle's own tagger.\n"
        "The weights are those of the best epoch on the validation split; one seed a row. LAS, UAS and CLAS are those\n"
        "of the CoNLL 2018 shared task; the last LAS counts subtypes of relations. The interval is that of LAS, 95 %,\n"
        "of resampled sentences. On words cut at random from the whole test split of ewt, the F1 of words, UAS, LAS\n"
        "and CLAS that `evaluate` says of raw text equal those of the CoNLL 2018 evaluation script, to two digits.\n\n"
        "| set | model | LAS | 95 % interval | UAS | CLAS | LAS with subtypes | training | size | batches |\n"
        f"|---|---|---|---|---|---|---|---|---|---|\n{body}\n\n"
        "Words a second of the whole test split, one core, tagging included, the medians of five alternating runs "
        "(`python benchmarks/parsing.py SET speed`):\n\n"
        f"| set | who | words/s |\n|---|---|---|\n{speed}\n{odd}"
    )


def _line(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    las, uas, clas, whole = (f"{100 * row[one]:.2f}" for one in MEASURES)
    return (
        f"| {row['row']} | `{row['model']}` | {las} | {100 * low:.2f} – {100 * high:.2f} | {uas} | {clas} | {whole} "
        f"| {row['train_seconds']:.0f} s | {row['size_mb']:.2f} MB | {row['words_per_second']:,} words/s |"
    )


if __name__ == "__main__":
    sys.exit(main())
