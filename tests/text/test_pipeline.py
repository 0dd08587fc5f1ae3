"""The pipeline cleans, then segments, and its configuration refuses what it does not know."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from yanmo.config import build
from yanmo.errors import ArtifactError, ConfigError
from yanmo.text.pipeline import TextConfig, TextPipeline


def test_the_default_normalizes_and_collapses() -> None:
    assert TextPipeline(TextConfig()).apply([" Ａ１ \t b", "", "\x1ec"]) == ["A1 b", "", "c"]


def test_segmentation_follows_cleaning() -> None:
    config = TextConfig(cleaning=("strip_html", "strip_symbols"), segmenter="rjieba")
    assert TextPipeline(config).apply(["<p>我来到</p>北京！", "x"]) == ["我 来到 北京", "x"]


def test_the_user_dictionary_lies_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "user_dict.txt").write_text("研磨机器人\n", encoding="utf-8")
    config = TextConfig(segmenter="rjieba", user_dict="user_dict.txt")
    assert TextPipeline(config, tmp_path).apply(["这是研磨机器人吗"]) == ["这是 研磨机器人 吗"]
    with pytest.raises(ArtifactError, match=r"needs its user dictionary 'user_dict\.txt', but no folder"):
        TextPipeline(config)


def test_an_unknown_step_is_a_config_error_that_names_the_closest() -> None:
    with pytest.raises(ConfigError) as caught:
        build(TextConfig, {"cleaning": ["lowercase", "strip_htm"]}, where="prepare")
    assert str(caught.value).startswith(
        "The 'cleaning' parameter of prepare must be made of known steps. There is no step 'strip_htm'. "
        "Did you mean 'strip_html'? The steps are: strip_html, unicode_nfkc, "
    )


def test_the_config_survives_json() -> None:
    config = TextConfig(cleaning=("lowercase",), segmenter="rjieba", user_dict="user_dict.txt")
    assert TextConfig.model_validate_json(config.model_dump_json()) == config


def test_threads_share_a_pipeline() -> None:
    pipeline = TextPipeline(
        TextConfig(cleaning=("strip_html", "simplify_chinese", "stop_words_zh"), segmenter="rjieba")
    )
    columns = [[f"<p>我們來到北京 {number}", "x"] for number in range(40)]
    expected = [pipeline.apply(column) for column in columns]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(pipeline.apply, columns)) == expected
