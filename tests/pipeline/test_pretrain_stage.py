"""A pipeline that pre-trains and tunes: stages name each other, and what cannot work is said before anything runs."""

import pytest

from yanmo.errors import PipelineError
from yanmo.pipeline.check import CheckConfig, check
from yanmo.pipeline.run import RunConfig, run

READER = """
    [stage.reader]
    verb = "pretrain"
    source = "reviews"
    model = "bert-1x32"
    vocab_size = 60
    max_length = 16
    num_epochs = 1
"""


def test_a_stage_trains_from_what_another_has_read_and_nothing_is_done_twice(write):
    pipeline = write(
        READER
        + """
    [stage.bert]
    verb = "train"
    dataset = "reviews"
    init = "reader"
    num_epochs = 1
    head_start = "random"

    [stage.graph]
    verb = "export"
    bundle = "bert"
    """
    )
    report = run(pipeline, RunConfig())
    assert {row["model"] for row in report.metrics["rows"]} == {"bert-1x32"}
    assert set(check(pipeline, CheckConfig()).states) == {"done"}


def test_a_source_that_is_no_dataset_and_a_model_that_is_no_encoder_are_said(write):
    pipeline = write(
        """
    [stage.cnn]
    verb = "train"
    dataset = "reviews"

    [stage.reader]
    verb = "pretrain"
    source = "cnn"
    model = "textcnn"
    """
    )
    with pytest.raises(PipelineError) as caught:
        check(pipeline, CheckConfig())
    assert "pretrain takes raw files or a Dataset, but 'cnn' makes none." in str(caught.value)
    assert "or gpt2 or gpt with --objective clm. Got 'textcnn'" in str(caught.value)
