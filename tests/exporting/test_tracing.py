"""The ONNX file: one file, fixed operators, no traces of this machine, equal bytes for equal weights, any batch."""

from __future__ import annotations

import getpass
import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, BertConfig, GPT2Config

from yanmo.errors import ModelError
from yanmo.exporting import tracing
from yanmo.exporting.large_graphs import read_onnx, write_onnx
from yanmo.exporting.tracing import OPSET, trace_graph
from yanmo.modeling.light import light_models

IDS_BT = np.array([[5, 6, 7, 8, 9], [7, 6, 0, 0, 0]])
EXAMPLE = {"input_ids": IDS_BT, "attention_mask": (IDS_BT > 0).astype(np.int64)}
SIZES = {"vocab_size": 50, "num_classes": 3, "embedding_size": 8, "dropout": 0.5}


def light(family, **sizes):
    torch.manual_seed(0)
    module = light_models.build_light_model({"family": family, **SIZES, **sizes}).eval()
    return module, lambda inputs: module(inputs["input_ids"], inputs["attention_mask"])


def encoder(config):
    torch.manual_seed(0)
    module = AutoModelForSequenceClassification.from_config(config).eval()
    return module, lambda inputs: module(**inputs).logits


BERT_SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
GPT2_SIZES = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "bos_token_id": 1, "eos_token_id": 1}
NETWORKS = {
    "textcnn": lambda: light("textcnn", kernel_sizes=[1, 2, 3], num_filters=4, embedding_dropout=0.1),
    "bilstm": lambda: light("bilstm", hidden_size=6),
    "bert": lambda: encoder(BertConfig(vocab_size=50, num_labels=3, pad_token_id=0, **BERT_SIZES)),
    "gpt2": lambda: encoder(GPT2Config(vocab_size=50, num_labels=3, pad_token_id=0, **GPT2_SIZES)),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]()


def test_the_graph_answers_as_the_network_for_any_batch_and_length(network):
    module, score = network
    session = onnxruntime.InferenceSession(trace_graph(module, score, EXAMPLE), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    for batch, length in [(1, 1), (1, 40), (7, 2), (3, 23)]:
        ids_BT = generator.integers(2, 50, (batch, length))
        mask_BT = (np.arange(length) < generator.integers(1, length + 1, batch)[:, None]).astype(np.int64)
        inputs = {"input_ids": ids_BT * mask_BT, "attention_mask": mask_BT}
        with torch.inference_mode():
            expected_BC = score({name: torch.from_numpy(array) for name, array in inputs.items()}).numpy()
        np.testing.assert_allclose(session.run(["logits"], inputs)[0], expected_BC, rtol=0, atol=1e-5)


def test_exporting_twice_gives_the_same_bytes_in_one_file(network):
    module, score = network
    content = trace_graph(module, score, EXAMPLE)
    assert trace_graph(module, score, EXAMPLE) == content
    model = onnx.load_model(io.BytesIO(content))
    assert {one.domain: one.version for one in model.opset_import} == {"": OPSET}
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [one.name for one in model.graph.input] == list(EXAMPLE)
    assert [one.name for one in model.graph.output] == ["logits"]
    names = [name for node in model.graph.node for name in node.output if name]
    assert set(names) - {"logits"} <= {f"v{place}" for place in range(len(names))}


def test_the_file_holds_no_trace_of_this_machine(network):
    content = trace_graph(*network, EXAMPLE)
    here = [str(Path(tracing.__file__).parents[3]), str(Path(torch.__file__).parents[1]), str(Path.cwd())]
    for word in (*here, "site-packages", ".py", "Traceback"):
        assert word.encode() not in content, word
    assert f"/{getpass.getuser()}/".encode() not in content
    model = onnx.load_model(io.BytesIO(content))
    for part in (model, model.graph, *model.graph.node):
        assert not part.doc_string
        assert not part.metadata_props


def test_a_network_is_as_it_was_after_its_export(network):
    module, score = network
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    trace_graph(module, score, EXAMPLE)
    assert not module.training
    assert not any(part.training for part in module.modules())
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_network_without_an_onnx_form_is_an_error():
    class Odd(nn.Module):
        def forward(self, ids_BT):
            return torch.linalg.eig(ids_BT.float() @ ids_BT.float().T).eigenvalues.real

    module = Odd()
    with pytest.raises(ModelError, match=r"^Odd has no ONNX form: ") as caught:
        trace_graph(module, lambda inputs: module(inputs["input_ids"]), EXAMPLE)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["textcnn", "bilstm"])
def test_a_network_too_large_for_one_file_has_its_weights_in_another(name, monkeypatch, tmp_path):
    module, score = NETWORKS[name]()
    write_onnx(trace_graph(module, score, EXAMPLE), tmp_path / "plain.onnx")
    monkeypatch.setattr(tracing, "LARGEST_BYTES", 1000)
    content = trace_graph(module, score, EXAMPLE)
    assert content.weights.keys() <= {f"module.{name}" for name in module.state_dict()}
    write_onnx(content, tmp_path / "large.onnx")
    assert read_onnx(tmp_path / "large.onnx").weights.keys() == content.weights.keys()
    ours_BC, theirs_BC = (
        onnxruntime.InferenceSession(tmp_path / f"{one}.onnx").run(["logits"], EXAMPLE)[0] for one in ("large", "plain")
    )
    np.testing.assert_allclose(ours_BC, theirs_BC, atol=1e-6)
