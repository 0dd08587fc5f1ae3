"""One small Dataset, teachers of it, and what makes a search over them."""

from types import SimpleNamespace

import pytest

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.compressing.transfer_texts import Altering, gather_texts
from yanmo.data.read import ReadOptions
from yanmo.grinding import speeds
from yanmo.grinding.budget import Budget
from yanmo.grinding.candidates import DATASET, TEACHER, single_models
from yanmo.grinding.records import Clock
from yanmo.grinding.search import Search
from yanmo.grinding.speeds import Meter
from yanmo.grinding.trials import Bench
from yanmo.models import resolve
from yanmo.verbs.ensemble import ensemble
from yanmo.verbs.quantize import quantize
from yanmo.verbs.train import train


@pytest.fixture(scope="session", autouse=True)
def brief_rounds():
    """A text alone is timed for a moment: how fast a Bundle really is belongs to benchmarks/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speeds, "ROUND_SECONDS", 0.1)
        yield


@pytest.fixture(scope="session")
def grounds(make_words, tmp_path_factory):
    """The folders of a Dataset, of a teacher, of the same in 8 bits, and of ensembles of two models."""
    folder = tmp_path_factory.mktemp("grounds")
    data = make_words(folder / "data", ["city", "fruit", "tool"]).path
    teacher = train(data, model="linear", num_threads=1, out=folder / "teacher").path
    small = quantize(teacher, data, max_drop=1.0, num_threads=1, out=folder / "small-teacher").path
    other = train(data, model="ngram", num_threads=1, num_epochs=8, out=folder / "other").path
    council = ensemble(data, [teacher, other], num_threads=1, out=folder / "council").path
    mixed = ensemble(data, [small, other], num_threads=1, out=folder / "mixed").path
    encoder = train(data, model="bert-2x64", num_threads=1, num_epochs=1, precision="fp32", out=folder / "encoder").path
    return SimpleNamespace(
        encoder=encoder, folder=folder, data=data, teacher=teacher, small=small, council=council, mixed=mixed
    )


@pytest.fixture
def make_search(grounds, tmp_path):
    """Return what makes a search that has measured nothing yet."""

    def make(*, teacher="teacher", students=("ngram",), seconds=3600.0, needs_memory=False, **budget):
        opened, dataset = Bundle.open(getattr(grounds, teacher)), Dataset.open(grounds.data)
        clock = Clock(tmp_path / "clock.json", seconds)
        given = {TEACHER: opened, **single_models(opened), DATASET: dataset}
        bench = Bench(given, tmp_path, clock, Meter(1), needs_memory=needs_memory)
        texts = gather_texts(dataset, (), ReadOptions(), "text", Altering())
        return Search(bench, Budget(**budget), {name: resolve(name) for name in students}, texts, {"seed": 1})

    return make
