"""What a new folder of ``init`` holds for a task: example data, the stages of a pipeline, a README; it writes no file.

A task has its example in a row of the table. Verbs and keys are named here and looked up by who renders them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["TEMPLATES", "StageTemplate", "StarterTemplate", "known_template"]


@dataclass(frozen=True)
class StageTemplate:
    """A stage of a pipeline.

    Attributes:
        verb: What it does.
        why: A sentence about it, which stands above the stage.
        given: Inputs and keys whose values the pipeline sets; all others are shown with their defaults.
    """

    verb: str
    why: str
    given: Mapping[str, Any]


@dataclass(frozen=True)
class StarterTemplate:
    """What a starter folder holds.

    Attributes:
        example: Folder of the data among the examples.
        data: The data's file, in the example and in the new folder.
        override: A key of the pipeline with another value, which shows how one is given on the command line.
        stages: Name of a stage to what it is.
        guide: The README of the new folder.
    """

    example: str
    data: str
    override: str
    stages: Mapping[str, StageTemplate]
    guide: str


def known_template(task: str) -> str:
    """Return the name of a task that has a template, for the config of a verb.

    Raises:
        ValueError: It has none; the message lists those that have one.
    """
    if task not in TEMPLATES:
        raise ValueError(f"one of: {', '.join(TEMPLATES)}")
    return task


MESSAGES_GUIDE = """\
# A first pipeline

`messages.csv` holds customer messages of an online shop with their intent, half Chinese and half English.

```
yanmo check pipeline.toml
yanmo run pipeline.toml
yanmo predict runs/bert-onnx messages.csv --text text --out predictions
yanmo serve runs/bert-onnx --port 8000
```

`run` ends with a Report that compares all models: open `runs/report/report.html`. Three light models together
(`runs/together`) are better than each of them; `runs/quick` asks them only where the cheapest is unsure, and
`runs/student-int8` is one small network that has learned from them. Run it again and nothing is done; change a key in
`pipeline.toml` and only what depends on it is made anew.

For your own data put your file here, change `source`, `text` and `label` in the stage `messages`, and run.
"""
NAMES_GUIDE = """\
# A first pipeline for names in texts

`names.jsonl` holds messages to an online shop, half Chinese and half English, in which persons, products, places,
dates, orders and companies are marked: `{"text": "Thanks, Rosa!", "label": [[8, 12, "person"]]}`. A mark is the first
character, the one behind the last, and what stands there. The names are invented. Nearly every sentence stands there
twice, with other names in it, so a model does better here than on messages of which it has seen nothing.

```
yanmo check pipeline.toml
yanmo run pipeline.toml
yanmo predict runs/together names.jsonl --format jsonl --out predictions
yanmo serve runs/together --port 8000
```

`run` ends with a Report that compares all models: open `runs/report/report.html`. What was lost, invented or cut at
the wrong place stands in `runs/quality/report.html`. Run it again and nothing is done; change a key in `pipeline.toml`
and only what depends on it is made anew.

For your own data put your file here and change `source` in the stage `names`. CoNLL, CoNLL-U, words between spaces,
doccano, Label Studio and brat are read as they are.
"""

QUESTIONS_GUIDE = """\
# A first reader of documents

The file questions.json holds questions about invented museums, companies, devices and ferries, half Chinese and half
English, in the format of SQuAD: a passage, its questions, and each answer with the character where it begins. Some
questions have no answer. Every kind of document stands there several times with other facts in it, so a model does
better here than on documents of which it has seen nothing.

```
yanmo check pipeline.toml
yanmo run pipeline.toml
yanmo serve runs/reader-onnx --port 8000
```

```
curl localhost:8000/predict -H 'content-type: application/json' -d '{"question": "When does it open?", "context": "…"}'
```

`run` ends with a Report that compares all models: open `runs/report/report.html`. Exact match, F1, and which answers
were wrong although the model was sure stand in `runs/quality/report.html`.

For your own data put your file here and change `source` in the stage `questions`. SQuAD 1.1 and 2.0, CMRC 2018, JSON
lines and Parquet with `passage`, `question` and `answers` are read as they are.
"""

DIARY_GUIDE = """\
# A first language model

`diary.txt` holds days in a village, one between every two blank lines, half Chinese and half English. They are put
together from a few hundred invented sentences, so a small model finds them soon far more likely than other texts.

```
yanmo check pipeline.toml
yanmo run pipeline.toml
yanmo predict runs/gpt diary.txt --no-header --text 1 --out predictions
```

`run` ends with a Report: bits a character, which depend on no tokenizer, and beside them those of n-grams, which are
counted in a second. Open `runs/quality/report.html`. A network that is no better than n-grams is not worth its price.
Run it again and nothing is done; change a key in `pipeline.toml` and only what depends on it is made anew.

For your own texts put your file here and change `source` and `documents` in the stage `diary`.
"""

SENTENCES_GUIDE = """\
# A first pipeline for trees of sentences

`sentences.conllu` holds sentences about parcels and orders, half Chinese and half English, in CoNLL-U: every word has
a part of speech, the number of its head, and its relation to it. The sentences are invented and of few kinds, so a
model does better here than on sentences of which it has seen nothing.

```
yanmo check pipeline.toml
yanmo run pipeline.toml
echo 'The driver lost a heavy box .' | yanmo predict runs/parser -
yanmo serve runs/parser --port 8000
```

`run` ends with a Report: open `runs/quality/report.html`. It draws the sentences with the most mistakes. Run it again
and nothing is done; change a key in `pipeline.toml` and only what depends on it is made anew.

For your own data put your treebank here in place of sentences.conllu and run, or change `source` in the stage `trees`.
Between the words of a text stands a space; a full stop is a word.
"""

SPOKEN_GUIDE = """\
# A first pipeline from text to text

The file spoken.tsv holds what is read aloud and how: invented names of places with their sounds, and Chinese dates,
times and measures with their syllables. Where two ways are right, both stand there with `|` between them.

```
yanmo check pipeline.toml
yanmo run pipeline.toml
echo 'Thornham' | yanmo predict runs/pairs -
yanmo serve runs/pairs --port 8000
```

`run` ends with a Report: open `runs/quality/report.html`. It shows the worst texts with what differs from their
references. Run it again and nothing is done; change a key in `pipeline.toml` and only what depends on it is made anew.

For your own data put your file here and change `source`, `text` and `target` in the stage `spoken`.
"""

TEMPLATES: Mapping[str, StarterTemplate] = MappingProxyType(
    {
        "single_label": StarterTemplate(
            example="messages",
            data="messages.csv",
            override="stage.bert.num_epochs=20",
            stages={
                "messages": StageTemplate(
                    "prepare",
                    "Raw rows to a Dataset: read, refuse what cannot be used, split into train, valid and test.",
                    {"source": "messages.csv", "text": "text", "label": "intent", "test_ratio": 0.2},
                ),
                "models": StageTemplate(
                    "train",
                    "Three light models, each in a folder of its own: runs/models/linear, …",
                    {"dataset": "messages", "each": {"model": ["linear", "ngram", "textcnn"]}},
                ),
                "bert": StageTemplate(
                    "train",
                    "A small encoder, trained from scratch.",
                    {"dataset": "messages", "model": "bert-2x128", "max_length": 64},
                ),
                "bert-onnx": StageTemplate(
                    "export", "The same encoder as a graph that runs without torch.", {"bundle": "bert"}
                ),
                "quality": StageTemplate(
                    "evaluate",
                    "A Report for each light model: what takes one artifact from a stage with each, is done for each.",
                    {"bundle": "models", "dataset": "messages"},
                ),
                "together": StageTemplate(
                    "ensemble",
                    "The mean of the light models' probabilities: one Bundle that answers for all three.",
                    {"dataset": "messages", "members": "models"},
                ),
                "quick": StageTemplate(
                    "cascade",
                    "The cheapest of them answers what it is sure of, and the ensemble the rest: on at most a fifth of "
                    "the texts another answer than the ensemble's, which so few rows can show.",
                    {"dataset": "messages", "stages": ["models/linear", "together"], "alpha": 0.2},
                ),
                "student": StageTemplate(
                    "distill",
                    "One small network that learns from what the ensemble says.",
                    {"teacher": "together", "dataset": "messages", "model": "textcnn"},
                ),
                "student-int8": StageTemplate(
                    "quantize", "The student in 8 bits, without torch.", {"bundle": "student", "dataset": "messages"}
                ),
            },
            guide=MESSAGES_GUIDE,
        ),
        "token_labels": StarterTemplate(
            example="names",
            data="names.jsonl",
            override="stage.taggers.num_epochs=20",
            stages={
                "names": StageTemplate(
                    "prepare",
                    "Texts with marks to a Dataset of units with tags: a unit is a Chinese character, a word of other "
                    "languages, or a sign. A mark that ends within a unit is refused.",
                    {"source": "names.jsonl", "task": "token_labels", "units": "tokens", "test_ratio": 0.2},
                ),
                "taggers": StageTemplate(
                    "train",
                    "Three models that look at the units around each unit and choose a legal path of tags; they differ "
                    "by their seeds: runs/taggers/1, …",
                    {"dataset": "names", "model": "window", "each": {"seed": [1, 2, 3]}},
                ),
                "together": StageTemplate(
                    "ensemble",
                    "The mean of their probabilities, unit by unit: one Bundle that answers for all three.",
                    {"dataset": "names", "members": "taggers"},
                ),
                "quality": StageTemplate(
                    "evaluate",
                    "A Report on the test split: what was found, lost, invented, or cut at the wrong place.",
                    {"bundle": "together", "dataset": "names"},
                ),
            },
            guide=NAMES_GUIDE,
        ),
        "span": StarterTemplate(
            example="questions",
            data="questions.json",
            override="stage.reader.num_epochs=16",
            stages={
                "questions": StageTemplate(
                    "prepare",
                    "Questions about passages to a Dataset; all questions about a passage are on one side of a split.",
                    {"source": "questions.json", "task": "span", "test_ratio": 0.2},
                ),
                "reader": StageTemplate(
                    "train",
                    "A small network that compares the question with the passage, from scratch.",
                    {
                        "dataset": "questions",
                        "model": "bilstm",
                        "num_epochs": 10,
                        "max_length": 160,
                        "vocab_size": 2000,
                    },
                ),
                "reader-onnx": StageTemplate(
                    "export", "The same reader as a graph that runs without torch.", {"bundle": "reader"}
                ),
                "quality": StageTemplate(
                    "evaluate",
                    "A Report on the test split: exact match and F1, of questions with and without an answer.",
                    {"bundle": "reader", "dataset": "questions"},
                ),
            },
            guide=QUESTIONS_GUIDE,
        ),
        "causal_lm": StarterTemplate(
            example="diary",
            data="diary.txt",
            override="stage.gpt.num_epochs=40",
            stages={
                "diary": StageTemplate(
                    "prepare",
                    "A text file to a Dataset of documents: what stands between blank lines is one.",
                    {"source": "diary.txt", "task": "causal_lm", "documents": "paragraphs", "test_ratio": 0.2},
                ),
                "ngrams": StageTemplate(
                    "train",
                    "Counted n-grams: the model that every other one has to be better than.",
                    {"dataset": "diary", "model": "kneser-ney"},
                ),
                "gpt": StageTemplate(
                    "train",
                    "A small network that predicts the next character.",
                    {
                        "dataset": "diary",
                        "model": "gpt-2x64",
                        "tokenization": "characters",
                        "max_length": 64,
                        "num_epochs": 12,
                    },
                ),
                "quality": StageTemplate(
                    "evaluate",
                    "A Report on the test split: bits a character, perplexity, the hardest texts, the n-grams.",
                    {"bundle": "gpt", "dataset": "diary", "against": "ngrams"},
                ),
            },
            guide=DIARY_GUIDE,
        ),
        "dependencies": StarterTemplate(
            example="sentences",
            data="sentences.conllu",
            override="stage.parser.beam=8",
            stages={
                "trees": StageTemplate(
                    "prepare",
                    "A treebank to a Dataset: the words of a sentence with their heads, relations and parts of speech. "
                    "A sentence whose heads are no tree is refused, and its line is said.",
                    {"source": "sentences.conllu", "task": "dependencies", "id": "sent_id", "test_ratio": 0.2},
                ),
                "parser": StageTemplate(
                    "train",
                    "A transition-based parser, and the tagger that it needs: numpy alone, a hundred thousand words a "
                    "second.",
                    {"dataset": "trees", "model": "arcs"},
                ),
                "quality": StageTemplate(
                    "evaluate",
                    "A Report on the test split: attachment by relation and by distance, worst sentences drawn.",
                    {"bundle": "parser", "dataset": "trees"},
                ),
            },
            guide=SENTENCES_GUIDE,
        ),
        "text_to_text": StarterTemplate(
            example="spoken",
            data="spoken.tsv",
            override="stage.pairs.order=5",
            stages={
                "spoken": StageTemplate(
                    "prepare",
                    "Texts with what is to be written for them to a Dataset; several ways may be right.",
                    {"source": "spoken.tsv", "task": "text_to_text", "target_separator": "|", "test_ratio": 0.2},
                ),
                "pairs": StageTemplate(
                    "train",
                    "Joint n-grams over what stands for what: counted in a second, and hard to beat where texts are "
                    "written symbol by symbol.",
                    {"dataset": "spoken", "model": "pairs"},
                ),
                "quality": StageTemplate(
                    "evaluate",
                    "A Report on the test split: exact match, errors by character and by token, the worst texts.",
                    {"bundle": "pairs", "dataset": "spoken"},
                ),
            },
            guide=SPOKEN_GUIDE,
        ),
    }
)
"""Task to the template of a folder that begins with it."""
