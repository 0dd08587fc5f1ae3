"""An ONNX file is looked at before any engine loads it."""

import json
import shutil

import onnx
import pytest
from onnx import TensorProto, helper

from yanmo.artifacts import Bundle
from yanmo.errors import ArtifactError
from yanmo.runtimes import onnx as onnx_module
from yanmo.runtimes.onnx_file import MESSAGES, REPEATED, check_onnx
from yanmo.runtimes.predictor import open_bundle

INPUTS = ["input_ids", "lengths"]


def make(path, nodes, *, opsets=(("", 20),), inputs=INPUTS):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.INT32, ["B"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.INT32, ["B"])],
        [helper.make_tensor("weight", TensorProto.INT32, [1], [7])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*one) for one in opsets])
    path.write_bytes(model.SerializeToString())
    return model


def refuse(path, declared=INPUTS):
    with pytest.raises(ArtifactError) as caught:
        check_onnx(path, declared)
    return caught.value.message


def test_a_sound_file_passes_and_constants_are_no_inputs(tmp_path):
    make(tmp_path / "model.onnx", [helper.make_node("Add", ["input_ids", "weight"], ["logits"])])
    check_onnx(tmp_path / "model.onnx", INPUTS)


def test_what_is_declared_of_the_format_is_what_onnx_declares():
    messages = {"Model": onnx.ModelProto, "Value": onnx.ValueInfoProto, "Entry": onnx.StringStringEntryProto}
    for name, fields in MESSAGES.items():
        declared = messages.get(name) or getattr(
            onnx, f"{'Sparse Tensor' if name == 'Sparse' else name}Proto".replace(" ", "")
        )
        by_name = declared.DESCRIPTOR.fields_by_name
        for field, (number, kind, label) in fields.items():
            assert by_name[field].number == number
            assert by_name[field].is_repeated == (label == REPEATED)
            assert (by_name[field].message_type is None) == isinstance(kind, int)


def test_other_inputs_than_declared(tmp_path):
    path = tmp_path / "model.onnx"
    make(path, [helper.make_node("Identity", ["input_ids"], ["logits"])], inputs=["input_ids"])
    assert refuse(path) == f"{path} takes input_ids, but onnx.json declares input_ids, lengths."


def test_weights_in_another_file(tmp_path):
    path = tmp_path / "model.onnx"
    model = make(path, [helper.make_node("Add", ["input_ids", "weight"], ["logits"])])
    tensor = model.graph.initializer[0]
    tensor.ClearField("int32_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    path.write_bytes(model.SerializeToString())
    assert refuse(path) == f"{path} keeps the weight 'weight' in another file, which a Bundle must not."


def test_weights_in_the_file_s_own_second_one_are_taken_unless_another_is_named_besides(tmp_path):
    path = tmp_path / "model.onnx"
    model = make(path, [helper.make_node("Add", ["input_ids", "weight"], ["logits"])])
    tensor = model.graph.initializer[0]
    tensor.ClearField("int32_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="model.data")
    path.write_bytes(model.SerializeToString())
    check_onnx(path, INPUTS)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    path.write_bytes(model.SerializeToString())
    assert refuse(path) == f"{path} keeps the weight 'weight' in another file, which a Bundle must not."


def test_sparse_weights_in_another_file(tmp_path):
    path = tmp_path / "model.onnx"
    model = make(path, [helper.make_node("Add", ["input_ids", "weight"], ["logits"])])
    values = model.graph.sparse_initializer.add().values
    values.name, values.data_location = "thin", TensorProto.EXTERNAL
    path.write_bytes(model.SerializeToString())
    assert refuse(path) == f"{path} keeps the weight 'thin' in another file, which a Bundle must not."


def test_operators_that_the_file_defines_itself(tmp_path):
    path = tmp_path / "model.onnx"
    model = make(path, [helper.make_node("Add", ["input_ids", "weight"], ["logits"])])
    model.functions.add().name = "Add"
    path.write_bytes(model.SerializeToString())
    assert refuse(path) == f"{path} defines the operator 'Add' itself, which a Bundle must not."


def test_other_outputs_than_the_scores(tmp_path):
    path = tmp_path / "model.onnx"
    model = make(path, [helper.make_node("Add", ["input_ids", "weight"], ["logits"])])
    model.graph.output.add().name = "states"
    path.write_bytes(model.SerializeToString())
    assert refuse(path) == f"{path} must give logits. Got logits, states instead."


@pytest.mark.parametrize(("domain", "operator"), [("", "Teleport"), ("com.microsoft", "Teleport"), ("evil", "Add")])
def test_an_unknown_operator_also_in_an_inner_graph(domain, operator, tmp_path):
    path = tmp_path / "model.onnx"
    node = helper.make_node(operator, ["input_ids"], ["inner"], domain=domain)
    branch = helper.make_graph([node], "b", [], [helper.make_tensor_value_info("inner", TensorProto.INT32, ["B"])])
    outer = helper.make_node("If", ["weight"], ["logits"], then_branch=branch, else_branch=branch)
    make(path, [outer], opsets=(("", 20), ("com.microsoft", 1), ("evil", 1)))
    assert refuse(path) == f"{path} has the unknown operator {f'{domain}.{operator}' if domain else operator}."


@pytest.mark.parametrize("content", [b"\xff\xff\xff", None])
def test_a_damaged_or_missing_file(content, tmp_path):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    assert refuse(path).startswith(f"{path} cannot be read: ")


def test_a_bundle_is_refused_before_an_engine_sees_its_file(get_bundle, tmp_path, monkeypatch):
    folder = shutil.copytree(get_bundle("bert_onnx").path, tmp_path / "changed")
    model = onnx.load(folder / "onnx/model.onnx")
    model.graph.node[0].op_type = "Teleport"
    (folder / "onnx/model.onnx").write_bytes(model.SerializeToString())
    opened = []
    monkeypatch.setattr(onnx_module, "open_engine", lambda *given: opened.append(given))
    with pytest.raises(ArtifactError, match="unknown operator Teleport"):
        open_bundle(Bundle.open(folder, verify=False))
    assert not opened


def test_settings_that_name_an_unknown_input_are_refused(get_bundle, tmp_path):
    folder = shutil.copytree(get_bundle("bert_onnx").path, tmp_path / "changed")
    settings = json.loads((folder / "onnx.json").read_bytes())
    (folder / "onnx.json").write_text(json.dumps(settings | {"inputs": ["input_ids", "secret"]}))
    with pytest.raises(ArtifactError, match=r"takes input_ids, lengths, but onnx\.json declares input_ids, secret"):
        open_bundle(Bundle.open(folder, verify=False))
