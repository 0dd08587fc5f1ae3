"""Rows in any company: the same tokens as alone, and those of transformers."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from yanmo.runtimes.generating import generator as generating
from yanmo.runtimes.generating.decoding import Decoding
from yanmo.runtimes.generating.generator import Generator

GREEDY = Decoding(max_new_tokens=12, temperature=0)
SAMPLED = Decoding(max_new_tokens=12, top_p=0.9, top_k=40, repetition_penalty=1.2, seed=3, bias={5: 1.5})
PROMPTS = [np.random.default_rng(0).integers(0, 288, size).tolist() for size in (5, 20, 9, 8, 1)]


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch):
    monkeypatch.setattr(generating, "CHUNK", 8)


def write(session, prompts, decoding, *, steps_between=0):
    generator = Generator(session)
    rows = []
    for prompt in prompts:
        rows.append(generator.begin(prompt, decoding))
        for _ in range(steps_between):
            generator.step()
    finish(generator)
    return rows


def test_what_is_read_counts_as_what_is_written_does(session):
    generator = Generator(session)
    first, second = (generator.begin(PROMPTS[place], GREEDY) for place in (4, 1))
    assert (generator.num_rows, generator.num_waiting, generator.is_idle) == (0, 2, False)
    while not first.ids:
        generator.step()
    generator.step()
    # The second prompt takes three steps to read, and nothing else waits.
    assert not second.ids
    assert (generator.num_rows, generator.num_waiting, generator.is_idle) == (2, 0, False)
    finish(generator)
    assert (generator.num_rows, len(second.ids)) == (0, 12)


def finish(generator):
    while not generator.is_idle:
        generator.step()


def test_greedy_tokens_are_those_of_transformers(session, decoder_folder):
    model = AutoModelForCausalLM.from_pretrained(decoder_folder).eval()
    rows = write(session, PROMPTS, GREEDY)
    for prompt, row in zip(PROMPTS, rows, strict=True):
        found = torch.tensor([prompt + row.ids])
        with torch.no_grad():
            logits = model(found).logits[0, len(prompt) - 1 : -1]
        # 8-bit weights may choose one of two tokens that are about as good.
        worse = logits.max(dim=1).values - logits[torch.arange(len(row.ids)), row.ids]
        assert worse.max() < 0.3
        expected = torch.log_softmax(logits, dim=1)[torch.arange(len(row.ids)), row.ids].numpy()
        assert np.abs(np.array(row.log_likelihoods) - expected).max() < 0.3


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("steps_between", [0, 1, 5])
def test_a_row_is_written_alike_alone_and_in_company(session, decoding, steps_between):
    together = write(session, PROMPTS, decoding, steps_between=steps_between)
    alone = [write(session, [prompt], decoding)[0] for prompt in PROMPTS]
    assert [row.ids for row in together] == [row.ids for row in alone]
    assert [row.log_likelihoods for row in together] == [row.log_likelihoods for row in alone]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_that_leave_at_any_step_disturb_no_other(session, data):
    alone = [write(session, [prompt], SAMPLED)[0].ids for prompt in PROMPTS]
    generator = Generator(session)
    rows = [generator.begin(prompt, SAMPLED) for prompt in PROMPTS]
    leavers = data.draw(st.dictionaries(st.integers(0, 4), st.integers(0, 8), max_size=3))
    step = 0
    while not generator.is_idle:
        for place in [place for place, when in leavers.items() if when == step]:
            generator.leave(rows[place])
        generator.step()
        step += 1
    assert [row.ids for place, row in enumerate(rows) if place not in leavers] == [
        ids for place, ids in enumerate(alone) if place not in leavers
    ]


def test_what_was_read_before_is_not_read_again_and_gives_the_same(session):
    prompt = np.random.default_rng(4).integers(0, 288, 30).tolist()
    generator = Generator(session)
    first = generator.begin(prompt, SAMPLED)
    finish(generator)
    second, other = generator.begin(prompt, SAMPLED), generator.begin([*prompt[:17], 9], SAMPLED)
    finish(generator)
    assert (first.num_cached, second.num_cached, other.num_cached) == (0, 24, 16)
    assert first.ids == second.ids
    assert other.ids == write(session, [[*prompt[:17], 9]], SAMPLED)[0].ids


def test_a_row_ends_at_its_end_token_at_its_limit_or_where_there_is_no_more_room(session):
    free = write(session, PROMPTS[:1], GREEDY)[0]
    assert (free.ending, len(free.ids)) == ("length", 12)
    ended = write(session, PROMPTS[:1], Decoding(temperature=0, end_ids=frozenset(free.ids[3:4])))[0]
    assert (ended.ending, ended.ids) == ("stop", free.ids[: free.ids.index(free.ids[3]) + 1])
    full = write(session, PROMPTS[1:2], Decoding(max_new_tokens=1000, temperature=0))[0]
    # The last token needs no room of its own.
    assert (full.ending, len(full.ids)) == ("length", 64 - 20 + 1)


def test_likelihoods_of_the_prompt_are_told_where_they_are_wished(session):
    generator = Generator(session)
    row = generator.begin(PROMPTS[1], Decoding(max_new_tokens=0, num_top=2), wants_prompt=True)
    other = generator.begin(PROMPTS[1][:10], Decoding(max_new_tokens=1, num_top=288))
    finish(generator)
    assert (row.ids, row.ending, len(row.prompt_likelihoods)) == ([], "length", 19)
    assert row.prompt_likelihoods[9] == pytest.approx(dict(other.best[0])[PROMPTS[1][10]], abs=0.1)
    assert [len(best) for best in row.prompt_best] == [2] * 19


def test_the_best_tokens_are_told_with_the_one_that_was_taken_first_of_them(session):
    row = write(session, PROMPTS[:1], Decoding(max_new_tokens=3, temperature=0, num_top=4))[0]
    assert [[token for token, _ in best][:1] for best in row.best] == [[token] for token in row.ids]
    assert all(sorted(best, key=lambda one: -one[1]) == best and len(best) == 4 for best in row.best)
