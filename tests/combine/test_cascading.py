"""Cascades: who answers, what it costs, and a guarantee that is broken no more often than it may be."""

import numpy as np
import pytest

from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.combine.bounds import lower_bound, upper_bound
from yanmo.combine.cascading import (
    NEVER,
    StageTable,
    answering_stages,
    choose_abstention,
    choose_thresholds,
    measure_candidate,
)
from yanmo.errors import DataError

COSTS = [0.1, 1.0, 10.0]


def make_table(num_rows, seed=0, *, costs=COSTS, skills=(0.85, 0.92, 0.97)):
    """Stages that are right more often the surer they are, and better from one to the next."""
    generator = np.random.default_rng(seed)
    hardness_N = generator.random(num_rows)
    sure, right = [], []
    for skill in skills:
        noise_N = generator.normal(scale=0.1, size=num_rows)
        sure.append(np.clip(1.1 * skill - 0.5 * hardness_N + noise_N, 0, 1))
        right.append(generator.random(num_rows) < np.clip(skill + 0.3 * (0.6 - hardness_N), 0, 1))
    right_SN = np.stack(right)
    answers_SN = np.where(right_SN, 0, generator.integers(1, 3, right_SN.shape))
    return StageTable(np.stack(sure).astype(np.float32), answers_SN == answers_SN[-1], right_SN, list(costs))


def test_the_first_sure_stage_answers_else_the_last():
    sure_SN = np.array([[0.9, 0.5, 0.5, 0.8], [0.1, 0.9, 0.5, 0.9], [0, 0, 0, 0]], dtype=np.float32)
    assert answering_stages(sure_SN, [0.8, 0.7]).tolist() == [0, 1, 2, 0]
    assert answering_stages(sure_SN, [NEVER, 0.7]).tolist() == [2, 1, 2, 1]
    assert answering_stages(sure_SN[2:], []).tolist() == [0, 0, 0, 0]


def test_a_text_costs_all_stages_that_were_asked():
    table = make_table(3)
    assert table.costs_N(np.array([0, 1, 2]), [0.5, 0.5]).tolist() == pytest.approx([0.1, 1.1, 11.1])
    assert table.costs_N(np.array([1, 1, 2]), [NEVER, 0.5]).tolist() == pytest.approx([1.0, 1.0, 11.0])


def test_confidence_is_the_largest_probability_or_the_weakest_decision():
    probabilities_NC = np.array([[0.2, 0.7, 0.1], [0.9, 0.05, 0.6]], dtype=np.float32)
    assert SOFTMAX.confidence_M(probabilities_NC) == pytest.approx([0.7, 0.9])
    assert SIGMOID.confidence_M(probabilities_NC) == pytest.approx([0.7, 0.6])
    assert SOFTMAX.confidence_M(np.zeros((0, 3), np.float32)).shape == (0,)


@pytest.mark.parametrize("guarantee", ["agreement", "accuracy"])
def test_the_bound_holds_and_the_cascade_is_cheaper(guarantee):
    chosen = choose_thresholds(make_table(6000), guarantee=guarantee, alpha=0.05, delta=0.05, seed=0)
    assert chosen.best.risk <= chosen.best.bound <= 0.05
    assert chosen.best.cost_ms < 10.0
    assert chosen.path[0].thresholds == (NEVER, NEVER)
    assert chosen.path[0].cost_ms == pytest.approx(10.0)
    truth = measure_candidate(make_table(200_000, seed=1), chosen.best.thresholds, guarantee)
    assert truth.risk <= 0.05


@pytest.mark.parametrize("guarantee", ["agreement", "accuracy"])
def test_a_bound_is_that_of_the_counts_on_the_testing_rows(guarantee):
    table = make_table(3000)
    chosen = choose_thresholds(table, guarantee=guarantee, alpha=0.05, delta=0.1, seed=0)
    tested = table.take(np.sort(np.random.default_rng(0).permutation(3000)[900:]))
    for one in chosen.path:
        stage_N, rows = answering_stages(tested.confidences_SN, one.thresholds), np.arange(2100)
        right_N, last_N = tested.right_SN[stage_N, rows], tested.right_SN[-1]
        if guarantee == "agreement":
            lost, gained = (~tested.agrees_SN[stage_N, rows]).sum(), 0
            assert one.bound == upper_bound(int(lost), 2100, 0.1)
        else:
            lost, gained = (last_N & ~right_N).sum(), (right_N & ~last_N).sum()
            assert one.bound == upper_bound(int(lost), 2100, 0.05) - lower_bound(int(gained), 2100, 0.05)
        assert one.risk == (lost - gained) / 2100
        assert one.cost_ms == pytest.approx(tested.costs_N(stage_N, one.thresholds).mean())
    # The cheapest of those before which none failed.
    passed = [one.bound <= 0.05 for one in chosen.path]
    assert chosen.best == chosen.path[passed.index(False) - 1]


@pytest.mark.parametrize(("num_early", "number"), [(1, 200), (2, 63), (6, 3)])
def test_the_more_stages_the_fewer_thresholds_has_each_unless_it_is_left_out(num_early, number):
    skills, costs = (0.97, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7), (6.4, 3.2, 1.6, 0.8, 0.4, 0.2, 0.1)
    table = make_table(1000, skills=skills[num_early::-1], costs=costs[num_early::-1])
    path = choose_thresholds(table, guarantee="agreement", alpha=0.1, delta=0.1, seed=0).path
    rows = np.sort(np.random.default_rng(0).permutation(1000)[:300])
    used = [{one.thresholds[stage] for one in path} for stage in range(num_early)]
    for stage, thresholds in enumerate(used):
        levels = np.quantile(table.confidences_SN[stage, rows], np.linspace(1, 0, number))
        assert thresholds <= {NEVER, *levels.tolist()}
    assert max(map(len, used)) >= 3


@pytest.mark.parametrize("guarantee", ["agreement", "accuracy"])
def test_over_many_draws_the_guarantee_is_broken_no_more_often_than_delta(guarantee):
    alpha, delta, num_draws = 0.06, 0.1, 80
    world = make_table(40_000, seed=7, costs=[0.1, 5.0], skills=(0.85, 0.95))
    generator = np.random.default_rng(2)
    num_broken, saved = 0, []
    for draw in range(num_draws):
        rows = generator.choice(40_000, 700, replace=False)
        chosen = choose_thresholds(world.take(rows), guarantee=guarantee, alpha=alpha, delta=delta, seed=draw)
        truth = measure_candidate(world, chosen.best.thresholds, guarantee)
        num_broken += truth.risk > alpha
        saved.append(truth.cost_ms)
    assert num_broken <= num_draws * delta + 3 * np.sqrt(num_draws * delta * (1 - delta))
    assert np.mean(saved) < 5.0


def test_equal_seeds_choose_equal_thresholds():
    first, second = (
        choose_thresholds(make_table(900), guarantee="agreement", alpha=0.1, delta=0.1, seed=4) for _ in "ab"
    )
    assert first == second


def test_no_early_stage_is_asked_where_none_keeps_the_guarantee():
    table = make_table(2000, skills=(0.4, 0.97), costs=[0.1, 1.0])
    chosen = choose_thresholds(table, guarantee="agreement", alpha=0.003, delta=0.05, seed=0)
    assert (chosen.best.thresholds, chosen.best.risk) == ((NEVER,), 0.0)


@pytest.mark.parametrize(
    ("guarantee", "alpha", "delta", "needed"), [("agreement", 0.01, 0.05, 427), ("accuracy", 0.05, 0.1, 84)]
)
def test_too_few_rows_say_how_many_it_takes(guarantee, alpha, delta, needed):
    options = {"guarantee": guarantee, "alpha": alpha, "delta": delta, "seed": 0}
    with pytest.raises(DataError) as caught:
        choose_thresholds(make_table(needed - 1), **options)
    assert str(caught.value) == (
        f"To show a guarantee of {guarantee} of {alpha:g} with confidence {1 - delta:g} takes at least {needed} "
        f"labelled rows. Got {needed - 1} instead.\n"
        "hint: Give a Dataset with a larger split, or ask for less: a larger --alpha or --delta."
    )
    choose_thresholds(make_table(needed), **options)


def test_a_single_stage_has_no_thresholds_and_needs_no_rows_for_them():
    chosen = choose_thresholds(
        make_table(20, skills=(0.9,), costs=[1.0]), guarantee="agreement", alpha=0.01, delta=0.05, seed=0
    )
    assert (chosen.best.thresholds, chosen.best.risk, chosen.best.bound) == ((), 0.0, 0.0)


def test_each_of_two_guarantees_is_shown_on_rows_of_its_own():
    table = make_table(2000)
    stages = {"alpha": 0.05, "delta": 0.05, "seed": 0, "num_tests": 2}
    assert choose_thresholds(table, guarantee="agreement", **stages).num_rows == 700
    sure_N, right_N, everyone = table.confidences_SN[2], table.right_SN[2], np.ones(2000, dtype=bool)
    found = choose_abstention(sure_N, right_N, everyone, **stages)
    assert round(found.answered_share * 700) == pytest.approx(found.answered_share * 700)
    with pytest.raises(DataError, match="takes at least 168 labelled rows"):
        choose_thresholds(table.take(np.arange(167)), guarantee="agreement", **stages)
    with pytest.raises(DataError, match="takes at least 168 labelled rows"):
        choose_abstention(sure_N[:167], right_N[:167], everyone[:167], **stages)


def test_what_is_withheld_keeps_the_share_of_wrong_answers():
    table = make_table(20_000, skills=(0.9,), costs=[1.0])
    everyone = np.ones(20_000, dtype=bool)
    found = choose_abstention(table.confidences_SN[0], table.right_SN[0], everyone, alpha=0.04, delta=0.05, seed=0)
    assert found.bound <= 0.04
    assert 0.1 < found.answered_share < 1
    fresh = make_table(100_000, seed=3, skills=(0.9,), costs=[1.0])
    answered_N = fresh.confidences_SN[0] >= found.threshold
    assert (~fresh.right_SN[0][answered_N]).mean() <= 0.04
    assert (~fresh.right_SN[0]).mean() > 0.06


def test_what_no_withholding_can_reach_is_said():
    right_N = np.arange(1000) % 2 == 0
    sure_N = np.linspace(0, 1, 1000, dtype=np.float32)
    with pytest.raises(DataError) as caught:
        choose_abstention(sure_N, right_N, np.ones(1000, bool), alpha=0.1, delta=0.05, seed=0)
    assert caught.value.message == (
        "Even of the surest answers too many are wrong for abstain = 0.1: 4 of 6, which shows at most 0.9372 "
        "with confidence 0.95."
    )
