"""Names of points lie on nothing, wherever the points are."""

from hypothesis import given
from hypothesis import strategies as st

from yanmo.reporting.point_names import LINE, RADIUS, Box, place_names, short_name

FRAME = Box(0, 0, 300, 220)


def boxes(names, points, places):
    """Return what each name covers, as wide as half an em a letter."""
    found = []
    for name, (x, y), place in zip(names, points, places, strict=True):
        width = 5 * len(name)
        left = x + place.across - {"left": 0, "center": width / 2, "right": width}[place.alignment]
        found.append(Box(left, y + place.up - 5 * LINE, left + width, y + place.up + 5 * LINE))
    return found


def test_two_points_that_nearly_meet_get_names_apart():
    points, names = [(150, 100), (154, 100)], ["bert", "bert-onnx"]
    one, other = boxes(names, points, place_names(names, points, FRAME))
    assert one.overlap(other) == 0


def test_a_line_through_a_point_is_left_free_where_there_is_room():
    points, names = [(150, 100)], ["textcnn"]
    (box,) = boxes(names, points, place_names(names, points, FRAME, [Box(149, 50, 151, 150)]))
    assert box.overlap(Box(149, 50, 151, 150)) == 0


def test_where_there_is_no_room_the_first_names_stay_and_the_rest_are_left_out():
    points, names = [(150, 100)] * 40, [f"a-name-of-{place:02}" for place in range(40)]
    places = place_names(names, points, FRAME)
    assert places[0] == place_names(names[:1], points[:1], FRAME)[0]
    assert None in places
    written = [number for number, place in enumerate(places) if place is not None]
    found = boxes([names[one] for one in written], points[: len(written)], [places[one] for one in written])
    assert all(one.overlap(other) < 2 for number, one in enumerate(found) for other in found[:number])


@given(st.tuples(st.floats(5, 295), st.floats(5, 215)), st.text("abc", min_size=1, max_size=20))
def test_a_name_stays_in_the_frame_and_off_its_point(point, name):
    (place,) = place_names([name], [point], FRAME)
    (box,) = boxes([name], [point], [place])
    assert FRAME.left <= box.left + 1e-6
    assert box.right <= FRAME.right + 1e-6
    assert box.overlap(Box(*(one - RADIUS for one in point), *(one + RADIUS for one in point))) < 1


def test_a_long_name_is_cut_and_a_short_one_stays():
    assert short_name("bert-onnx") == "bert-onnx"
    assert short_name("x" * 25) == "x" * 23 + "…"
