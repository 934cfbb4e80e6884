"""Drawings in layers: every arrow leads down, and no boxes overlap, whatever the graph."""

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from minimeta.explanation.layout import Node, svg

NAMESPACE = "{http://www.w3.org/2000/svg}"


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Node], list[tuple[int, int]]]:
    count = draw(st.integers(0, 12))
    lines = st.lists(st.text('ab<&"', max_size=20), min_size=1, max_size=2).map(tuple)
    nodes = [Node(f"%{i}", draw(lines), "forward") for i in range(count)]
    ends = st.integers(0, max(count - 1, 0))
    arrows = draw(st.lists(st.tuples(ends, ends), max_size=25))
    return nodes, [(min(pair), max(pair)) for pair in arrows if pair[0] != pair[1]]


@given(graphs())
def test_arrows_lead_down_between_boxes_that_do_not_overlap(graph: tuple[list[Node], list[tuple[int, int]]]) -> None:
    nodes, arrows = graph
    drawn = ET.fromstring(svg(nodes, arrows, "a <graph>"))
    boxes = {}
    for group in drawn.iter(f"{NAMESPACE}g"):
        if (rect := group.find(f"{NAMESPACE}rect")) is not None:
            x, y, width, height = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
            boxes[group.attrib["data-name"]] = (x, y, x + width, y + height)
            assert [text.text or "" for text in group.iter(f"{NAMESPACE}text")] == list(
                nodes[int(group.attrib["data-name"][1:])].lines
            )
    assert list(boxes) == [node.name for node in nodes]
    of_page = [0.0, 0.0, float(drawn.attrib["width"]), float(drawn.attrib["height"])]
    for i, (left, top, right, bottom) in enumerate(boxes.values()):
        assert of_page[0] <= left <= right <= of_page[2] and of_page[1] <= top <= bottom <= of_page[3]
        for other in list(boxes.values())[:i]:
            assert right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
    found = [(g.attrib["data-from"], g.attrib["data-to"]) for g in drawn.iter(f"{NAMESPACE}g") if "data-to" in g.attrib]
    assert found == [(f"%{i}", f"%{j}") for i, j in dict.fromkeys(arrows)]
    assert all(boxes[above][3] < boxes[below][1] for above, below in found)


def test_a_chain_stands_in_one_column_and_a_tree_is_centred() -> None:
    nodes = [Node(f"%{i}", ("box",), "") for i in range(4)]
    chain = ET.fromstring(svg(nodes, [(0, 1), (1, 2), (2, 3)], ""))
    assert len({rect.attrib["x"] for rect in chain.iter(f"{NAMESPACE}rect")}) == 1
    tree = ET.fromstring(svg(nodes, [(0, 3), (1, 3), (2, 3)], ""))
    x = [float(rect.attrib["x"]) for rect in tree.iter(f"{NAMESPACE}rect")]
    assert x[3] == x[1] == (x[0] + x[2]) / 2


def test_an_arrow_past_many_layers_is_one_straight_line() -> None:
    count = 60
    nodes = [Node(f"%{i}", ("box",), "") for i in range(count)]
    drawn = svg(nodes, [*((i, i + 1) for i in range(count - 1)), (0, count - 1)], "")
    long = next(g for g in ET.fromstring(drawn).iter(f"{NAMESPACE}g") if g.attrib.get("data-to") == f"%{count - 1}")
    assert long.attrib["data-from"] == f"%{count - 2}"
    past = [g for g in ET.fromstring(drawn).iter(f"{NAMESPACE}g") if g.attrib.get("data-from") == "%0"][1]
    path = past.find(f"{NAMESPACE}path")
    assert path is not None and path.attrib["d"].count("C") <= 6
