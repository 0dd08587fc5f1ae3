"""The mean of models is that of all their files of weights: of the network, and of a chain over units."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from yanmo.artifacts.bundle import CHAIN, WEIGHTS
from yanmo.errors import ArtifactError
from yanmo.modeling.shrinking.soup import average_weights


def make(folder, value, *, has_chain):
    folder.mkdir()
    save_file({"layer": np.full((2, 2), value, np.float32)}, folder / WEIGHTS)
    if has_chain:
        save_file({"transitions": np.full((3, 3), 10 * value, np.float32)}, folder / CHAIN)
    return folder


def test_network_and_chain_are_averaged(tmp_path):
    members = [make(tmp_path / str(value), float(value), has_chain=True) for value in (1, 3)]
    average_weights(members, tmp_path)
    np.testing.assert_array_equal(load_file(tmp_path / WEIGHTS)["layer"], 2.0)
    np.testing.assert_array_equal(load_file(tmp_path / CHAIN)["transitions"], 20.0)


def test_models_without_a_chain_get_none(tmp_path):
    average_weights([make(tmp_path / "one", 1.0, has_chain=False)], tmp_path)
    assert not (tmp_path / CHAIN).exists()


def test_a_chain_that_only_some_have_is_refused(tmp_path):
    members = [make(tmp_path / "one", 1.0, has_chain=True), make(tmp_path / "other", 1.0, has_chain=False)]
    with pytest.raises(ArtifactError, match=r"the file chain\.safetensors"):
        average_weights(members, tmp_path)
