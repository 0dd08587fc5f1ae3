"""A verb can be called with paths and keywords, and says what is missing."""

from pathlib import Path

import pytest
from pydantic import Field

from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.predictions import Predictions
from yanmo.config import Config
from yanmo.errors import ArtifactError, ConfigError
from yanmo.verbs.signature import get_verb, verb


class CopyConfig(Config):
    times: int = Field(default=1, ge=1)
    """How often."""


@verb
def copy(first: Predictions, config: CopyConfig, *, other: Predictions | None = None, out: Path) -> Predictions:
    """Copy predictions."""
    parents = {"first": first.digest} | ({"other": other.digest} if other else {})
    values = {"times": config.times}
    with publish(out, Identity(kind="predictions", verb="copy", task="t", labels=[], parents=parents, config=values)):
        pass
    return Predictions.open(out)


@pytest.fixture
def source(tmp_path):
    with publish(tmp_path / "source", Identity(kind="predictions", verb="v", task="t", labels=[])) as staging:
        (staging / "x").write_text("x")
    return tmp_path / "source"


def test_paths_and_artifacts_mean_the_same(tmp_path, source):
    by_path = copy(str(source), times=2, out=tmp_path / "one")
    by_artifact = copy(Predictions.open(source), config=CopyConfig(times=2), out=tmp_path / "two")
    by_name = copy(first=source, times=2, out=tmp_path / "three")
    assert by_path.digest == by_artifact.digest == by_name.digest


def test_an_optional_input_is_given_by_name(tmp_path, source):
    assert "other" in copy(source, other=source, out=tmp_path / "one").manifest.parents


def test_what_is_missing_or_too_much_is_said(tmp_path, source):
    with pytest.raises(ConfigError, match="The 'first' input of copy is missing"):
        copy(out=tmp_path / "one")
    with pytest.raises(ConfigError, match="The 'out' parameter of copy is missing"):
        copy(source)
    with pytest.raises(ConfigError, match="copy takes 1 inputs. Got 2 instead"):
        copy(source, source, out=tmp_path / "one")
    with pytest.raises(ConfigError, match="copy has no parameter 'time'. Did you mean 'times'"):
        copy(source, time=2, out=tmp_path / "one")


def test_an_existing_out_is_refused_before_any_work(source):
    with pytest.raises(ArtifactError, match="exists already"):
        copy(source, out=source)


def test_the_signature_is_read_from_the_function():
    assert [(one.name, *one.kinds, one.is_optional) for one in copy.inputs] == [
        ("first", Predictions, False),
        ("other", Predictions, True),
    ]
    assert copy.config_class is CopyConfig
    assert copy.needs_out
    assert copy.summary == "Copy predictions."


def test_an_unknown_verb_is_named_with_the_closest_one():
    with pytest.raises(ConfigError, match="There is no verb 'trian'. Did you mean 'train'"):
        get_verb("trian")
