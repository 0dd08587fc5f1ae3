"""What the serving install pulls in, read offline from what is installed here: pinned, permissive, without torch."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from yanmo.verbs.pack import serving_packages

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
}
PACKAGES = {name: version for name, version in serving_packages().items() if name != "yanmo"}
PERMISSIVE = re.compile(
    r"(MIT|MIT-CMU|ISC|Zlib|0BSD|CC0-1\.0|PSF-2\.0|Apache-2\.0|BSD-[23]-Clause|Apache License 2\.0)"
    r"|(MIT|BSD|3-Clause BSD|Apache Software|Python Software Foundation) License"
)
FILE_BY_FILE = {"tqdm": "MPL-2.0 AND MIT"}
"""Copyleft that ends at the package's own files, which are used unchanged."""


def licences(name: str) -> list[str]:
    """Return the words of a package about its licence: its SPDX expression, else its classifiers, else its field."""
    about = metadata.metadata(name)
    if "License-Expression" in about:
        return re.split(r" AND | OR ", about["License-Expression"].replace("(", "").replace(")", ""))
    classifiers = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier", []) if one.startswith("License ::")]
    return classifiers or [about.get("License", "")]


@pytest.mark.parametrize(("name", "version"), PACKAGES.items())
def test_a_package_of_the_serving_install_is_pinned_and_permissive(name, version):
    assert PINS.get(name) == version, "constraints.txt holds the versions that were tested together"
    found = licences(name)
    if name in FILE_BY_FILE:
        assert found == [FILE_BY_FILE[name]]
    else:
        assert [one for one in found if not PERMISSIVE.fullmatch(one)] == []


def test_the_serving_install_has_no_torch():
    assert {"msgspec", "numpy", "onnxruntime", "uvicorn"} <= PACKAGES.keys()
    heavy = re.compile(r"torch|transformers|triton|nvidia-.*|scikit-learn|onnx|scipy")
    assert [name for name in PACKAGES if heavy.fullmatch(name)] == []
