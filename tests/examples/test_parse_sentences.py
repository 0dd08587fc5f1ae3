"""The commands of the guide about trees of sentences work, one after the other, in an empty folder."""

import re

import pytest

import yanmo


@pytest.fixture(scope="module")
def shop(project_root, run_commands, tmp_path_factory):
    """The folder that the guide's commands made."""
    text = (project_root / "docs" / "guides" / "parse-sentences.md").read_text(encoding="utf-8")
    commands = "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL))
    folder = tmp_path_factory.mktemp("guide")
    (folder / "stdout.txt").write_text(run_commands(commands, folder), encoding="utf-8")
    return folder / "shop"


def test_the_example_is_learned(shop):
    metrics = yanmo.Report.open(shop / "reports" / "parser").metrics
    assert metrics["las"] > 0.8
    assert "The/2/det  driver/3/nsubj  lost/0/root" in (shop.parent / "stdout.txt").read_text(encoding="utf-8")


def test_raw_text_is_cut_into_words(shop):
    (line,) = [one for one in (shop.parent / "stdout.txt").read_text(encoding="utf-8").splitlines() if "/root" in one][
        1:
    ]
    assert "".join(word.split("/")[0] for word in line.split()) == "她去年把盒子弄丢了。"
    assert len(line.split()) > 5


def test_answers_can_be_given_back_as_data(shop, tmp_path):
    data = yanmo.prepare(shop / "answers" / "table.conllu", task="dependencies", id="sent_id", out=tmp_path / "data")
    assert data.summary()["num_rejected"] == 0


def test_every_sentence_of_the_example_is_a_tree_and_stands_once(project_root, tmp_path):
    source = project_root / "examples" / "sentences" / "sentences.conllu"
    data = yanmo.prepare(source, task="dependencies", id="sent_id", valid_ratio=0, test_ratio=0, out=tmp_path / "data")
    texts = data.split("train")["text"].to_list()
    assert data.summary()["num_rejected"] == 0
    assert len(texts) == len(set(texts)) == 280
