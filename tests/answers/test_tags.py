"""What tags mean is found from their names, and what may follow what is what the three styles say."""

import numpy as np
import pytest

from yanmo.answers.tags import TagScheme, row_edges

IOB2 = ["B-loc", "B-per", "I-loc", "I-per", "O"]


@pytest.mark.parametrize(
    ("labels", "style", "kinds"),
    [
        (IOB2, "iob2", ("loc", "per")),
        (["B-a"], "iob2", ("a",)),
        (["B-a-b", "O"], "iob2", ("a-b",)),
        (["B", "E", "M", "S"], "bmes", ("word",)),
        (["B", "E", "S"], "bmes", ("word",)),
        (["S"], "bmes", ("word",)),
        (["B", "E"], "bmes", ("word",)),
        (["S-PU", "B-NN", "E-NN"], "bmes", ("NN", "PU")),
        (["S-x"], "bmes", ("x",)),
        (["NOUN", "VERB"], "plain", ("NOUN", "VERB")),
        (["B", "M"], "plain", ("B", "M")),
        (["O"], "plain", ("O",)),
        (["B-a", "O", "X"], "plain", ("B-a", "O", "X")),
        (["B-a", "E-a", "O"], "plain", ("B-a", "E-a", "O")),
        (["B-", "O"], "plain", ("B-", "O")),
        (["B", "I", "O"], "plain", ("B", "I", "O")),
        (["B", "E", "S-x"], "plain", ("B", "E", "S-x")),
    ],
    ids=str,
)
def test_the_names_of_the_labels_tell_the_style(labels, style, kinds):
    scheme = TagScheme.of(labels)
    assert (scheme.style, scheme.kinds) == (style, kinds)
    assert scheme.is_plain == (style == "plain")


def follows(labels):
    """Each tag with those that may follow it, whether it may begin a row, and whether it may end one."""
    scheme = TagScheme.of(labels)
    may_follow = {
        label: {labels[place] for place in np.flatnonzero(row)}
        for label, row in zip(labels, scheme.may_follow_CC, strict=True)
    }
    edges = (scheme.may_begin_C, scheme.may_end_C)
    return may_follow, *({labels[place] for place in np.flatnonzero(one)} for one in edges)


def test_in_iob2_a_span_goes_on_with_its_own_kind_alone():
    after, begins, ends = follows(IOB2)
    anywhere = {"B-loc", "B-per", "O"}
    assert after["B-loc"] == after["I-loc"] == {*anywhere, "I-loc"}
    assert after["B-per"] == after["I-per"] == {*anywhere, "I-per"}
    assert after["O"] == begins == anywhere
    assert ends == set(IOB2)


def test_in_bmes_a_word_is_finished_before_another_begins():
    after, begins, ends = follows(["B", "E", "M", "S"])
    assert after == {"B": {"M", "E"}, "M": {"M", "E"}, "E": {"B", "S"}, "S": {"B", "S"}}
    assert (begins, ends) == ({"B", "S"}, {"E", "S"})
    after, begins, ends = follows(["B-n", "B-v", "E-n", "E-v", "S-n"])
    assert after["B-n"] == {"E-n"}
    assert after["E-v"] == begins == {"B-n", "B-v", "S-n"}
    assert ends == {"E-n", "E-v", "S-n"}


def test_plain_tags_know_no_rule():
    after, begins, ends = follows(["B", "I", "O"])
    assert all(one == {"B", "I", "O"} for one in (*after.values(), begins, ends))


def test_where_a_rule_is_broken_is_said():
    scheme = TagScheme.of(["B", "E", "M", "S"])
    #                  B  E   E   -   B  B  E   S  M
    path_U = np.array([0, 1, 1, 0, 0, 1, 3, 2])
    offsets = np.array([0, 2, 3, 3, 6, 8])
    assert np.flatnonzero(scheme.broken_U(path_U, offsets)).tolist() == [2, 4, 7]


def test_the_edges_of_rows_of_which_some_are_empty():
    is_first, is_last = row_edges(np.array([0, 0, 2, 2, 3, 3]))
    assert (is_first.tolist(), is_last.tolist()) == ([True, False, True], [False, True, True])
    assert [len(one) for one in row_edges(np.array([0, 0]))] == [0, 0]
