"""The search space: every family's own, and the user's from a file."""

import pytest

from yanmo.errors import ConfigError, ModelError
from yanmo.family_settings import FAMILY_DEFAULTS, default_settings, unused_settings
from yanmo.models import FAMILIES, ModelSpec
from yanmo.training.train_config import TrainConfig
from yanmo.tuning.space import SPACES, Choice, Range, default_space, read_space


@pytest.mark.parametrize("family", list(SPACES))
def test_a_family_searches_only_what_has_an_effect_on_it_around_its_defaults(family):
    defaults = default_settings(family, 10_000)
    space = default_space(family, defaults)
    assert not set(space) & set(unused_settings(ModelSpec("model", family)))
    for name, part in space.items():
        known = defaults.get(name, getattr(TrainConfig(), name))
        ends = part.values if isinstance(part, Choice) else (part.low, part.high)
        for one in ends:
            assert getattr(TrainConfig(**{name: one}), name) == one
        if known is not None and known != 0:
            assert known in ends if isinstance(part, Choice) else part.low <= known <= part.high, name
    assert ("num_epochs" in space) == ("num_epochs" in defaults)
    assert all(space[name].is_whole for name in ("num_epochs", "order") if name in space)


def test_every_family_has_a_space_or_nothing_to_search():
    assert set(FAMILIES) - set(SPACES) == {"linear", "hmm", "kneser-ney"}
    with pytest.raises(ModelError, match="The model linear has no settings"):
        default_space("linear", FAMILY_DEFAULTS["linear"])


def test_a_file_holds_ranges_choices_and_what_stays(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(
        "learning_rate = { low = 1e-4, high = 1e-2, log = true }\nnum_epochs = { low = 2, high = 4 }\n"
        "batch_size = [16, 32]\nmax_length = 64\n"
    )
    space, fixed = read_space(path)
    assert space == {
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "num_epochs": Range(2, 4),
        "batch_size": Choice((16, 32)),
    }
    assert (space["num_epochs"].is_whole, space["learning_rate"].is_whole) == (True, False)
    assert fixed == {"max_length": 64}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = [1.0]", "Did you mean 'learning_rate'"),
        ("seed = [1, 2]", "'seed' is no key of train that tune can set"),
        ("dropout = { low = 0.5, high = 0.1 }", "'low' of 'dropout' must be less than 'high'. Got 0.5 and 0.1 instead"),
        ("dropout = { low = 0.1 }", "'dropout' must be a range, a list, or one value"),
        ("dropout = { low = 0.5, high = 1.5 }", "'dropout' parameter .* must be less than 1"),
        (
            "weight_decay = { low = 0, high = 0.1, log = true }",
            "'low' of 'weight_decay' must be greater than 0 on a log",
        ),
        ("num_epochs = { low = 0.5, high = 4 }", "'num_epochs' parameter .* must be a valid integer"),
        ("dropout = 0.5", "leaves nothing to search"),
        ("dropout = [", "cannot be read"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, message):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_space(path)


def test_whole_numbers_with_a_point_are_whole_where_train_wants_them(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("num_epochs = { low = 4.0, high = 12.0 }\nbatch_size = [16.0, 32]\nmax_length = 64.0\n")
    space, fixed = read_space(path)
    assert space["num_epochs"].is_whole
    assert [type(one) for one in (*space["batch_size"].values, fixed["max_length"])] == [int] * 3
