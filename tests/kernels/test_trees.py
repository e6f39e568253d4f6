"""Trees walked in lock-step answer what walking them one row at a time answers, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_infer.kernels import trees
from stream_infer.kernels.compiled import as_python
from stream_infer.scoring.tree_attributes import read_ensemble
from stream_infer.scoring.tree_tables import TreeTables, build_tables
from stream_infer.scoring.wide_tables import WideTables, widen
from tests.scoring import tree_models
from tests.scoring.tree_models import COMPARE, Forest, Leaf, Split, as_read

WIDTH = 3
TARGETS = 3

forests = st.builds(
    Forest,
    st.lists(
        tree_models.trees(WIDTH, st.sampled_from([(0,), (2,), (0, 1, 2), (1, 2)]), tuple(COMPARE)),
        min_size=1,
        max_size=6,
    ),
    targets=st.just(TARGETS),
)
matrices = st.lists(st.tuples(*[tree_models.CELLS] * WIDTH), min_size=0, max_size=2 * trees.LANES + 1).map(
    lambda rows: np.array(rows, np.float32).reshape(-1, WIDTH)
)


@pytest.fixture(params=["compiled", "plain"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The kernels, compiled or as plain Python, where numpy checks every index."""
    names = [name for name, made in vars(trees).items() if hasattr(made, "py_func")]
    if request.param == "plain":
        for name in names:
            monkeypatch.setattr(trees, name, as_python(getattr(trees, name)))
    return trees


def tables_of(forest: Forest, width: int = WIDTH) -> TreeTables:
    return build_tables(read_ensemble(forest.op, as_read(forest.attributes())), width)


def score(kernels: Any, cells: npt.NDArray[np.float32], tables: TreeTables) -> npt.NDArray[np.float32]:
    scores = np.full((len(cells), tables.score_columns), np.nan, np.float32)
    kernels.score(cells.view(np.int32), *tables, *tables.scratch(cells.shape[1]), scores)
    return scores


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)  # compiles
@given(forest=forests, cells=matrices)
def test_lock_step_is_one_row_at_a_time(kernels: Any, forest: Forest, cells: npt.NDArray[np.float32]) -> None:
    found = score(kernels, cells, tables_of(forest))
    expected = np.array([forest.totals(row, TARGETS) for row in cells], np.float32).reshape(-1, TARGETS)
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


def widened(tables: TreeTables) -> WideTables:
    """Wide tables, also where they would not pay."""
    wide = widen(tables, nodes_per_step=1000)
    assert wide is not None
    return wide


def score_wide(kernels: Any, cells: npt.NDArray[np.float32], tables: TreeTables) -> npt.NDArray[np.float32]:
    wide = widened(tables)
    scores = np.full((len(cells), tables.score_columns), np.nan, np.float32)
    with np.errstate(over="ignore"):  # minus the lowest whole number is itself, which numpy warns of
        kernels.score_wide(cells.view(np.int32), *wide, *wide.scratch(cells.shape[1]), scores)
    return scores


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)  # compiles
@given(forest=forests, cells=matrices)
def test_asking_every_node_is_walking_in_lock_step(
    kernels: Any, forest: Forest, cells: npt.NDArray[np.float32]
) -> None:
    tables = tables_of(forest)
    expected = score(trees, cells, tables)
    np.testing.assert_array_equal(score_wide(kernels, cells, tables).view(np.int32), expected.view(np.int32))


def chain(leaves: int, *, to_the_left: bool) -> tree_models.Tree:
    """A tree as deep as one of so many leaves can be."""
    tree: tree_models.Tree = Leaf({0: 0.5})
    for step in range(leaves - 1):
        leaf = Leaf({0: step + 1.0})
        tree = Split(0, "BRANCH_LEQ", float(step), False, *((tree, leaf) if to_the_left else (leaf, tree)))
    return tree


@pytest.mark.parametrize("to_the_left", [True, False])
def test_every_leaf_of_a_tree_with_a_bit_for_each_is_found(kernels: Any, to_the_left: bool) -> None:
    tables = tables_of(Forest([chain(trees.MOST_WIDE_LEAVES, to_the_left=to_the_left), tree_models.stump()]))
    at = np.arange(-1, trees.MOST_WIDE_LEAVES, 0.5).astype(np.float32)
    cells = np.stack([at, at, at], axis=1)
    expected = score(trees, cells, tables)
    np.testing.assert_array_equal(score_wide(kernels, cells, tables), expected)
    if to_the_left:
        assert len(np.unique(expected)) >= trees.MOST_WIDE_LEAVES


def test_only_deep_trees_with_a_bit_for_every_leaf_are_widened() -> None:
    assert widen(tables_of(Forest([chain(trees.MOST_WIDE_LEAVES, to_the_left=True)]))) is not None
    assert widen(tables_of(Forest([chain(trees.MOST_WIDE_LEAVES + 1, to_the_left=True)]))) is None
    bushy: tree_models.Tree = tree_models.stump()
    for _ in range(4):
        bushy = Split(0, "BRANCH_LEQ", 0.0, False, bushy, bushy)
    assert widen(tables_of(Forest([bushy]))) is None


@pytest.mark.parametrize("rows", [1, trees.LANES - 1, trees.LANES, trees.LANES + 1, 5 * trees.LANES + 3])
def test_a_score_does_not_depend_on_the_rows_beside_it(kernels: Any, rows: int) -> None:
    tree = Split(1, "BRANCH_LT", 0.0, True, tree_models.stump(), tree_models.stump(0.25, 0.5))
    tables = tables_of(Forest([tree, tree_models.stump()]))
    cells = np.random.default_rng(rows).normal(size=(rows, WIDTH)).astype(np.float32)
    cells[rows // 2] = np.nan
    together = score(kernels, cells, tables)
    alone = np.concatenate([score(kernels, cells[row : row + 1], tables) for row in range(rows)])
    np.testing.assert_array_equal(together, alone)


def test_trees_of_different_depth_stand_side_by_side(kernels: Any) -> None:
    chain: tree_models.Tree = Leaf({0: 1.0})
    for step in range(40):
        chain = Split(0, "BRANCH_GT", float(step), False, chain, Leaf({0: float(step)}))
    tables = tables_of(Forest([Leaf({0: 100.0}), chain, tree_models.stump()]))
    assert tables.depths.tolist() == [0, 40, 1]
    cells = np.array([[50.0, 0, 0], [-3.0, 0, 0], [17.5, 0, 0]], np.float32)
    # The chain begins at its highest step: a row falls out of it at the first step that it is not above.
    assert score(kernels, cells, tables).ravel().tolist() == [103.0, 138.0, 141.0]


@pytest.mark.parametrize(
    ("link", "totals", "expected"),
    [
        (trees.LINK_NONE, [0.5, -1.0], [0.5, -1.0]),
        (trees.LINK_LOGISTIC, [0.0, -1.0], [0.5, 1 / (1 + np.exp(1.0))]),
        (trees.LINK_SOFTMAX, [1.0, 3.0], [1 / (1 + np.exp(2.0)), 1 / (1 + np.exp(-2.0))]),
        (trees.LINK_SOFTMAX, [1e30, 0.0], [1.0, 0.0]),
        (trees.LINK_COMPLEMENT, [0.25], [0.75, 0.25]),
        (trees.LINK_NEGATED, [0.25], [-0.25, 0.25]),
        (trees.LINK_LOGISTIC_PAIR, [2.0], [1 / (1 + np.exp(2.0)), 1 / (1 + np.exp(-2.0))]),
    ],
)
def test_links(kernels: Any, link: int, totals: list[float], expected: list[float]) -> None:
    tables = tables_of(Forest([Leaf({0: 0.0})]))._replace(base=np.array(totals, np.float32), link=link)
    found = score(kernels, np.zeros((2, WIDTH), np.float32), tables)
    np.testing.assert_allclose(found, [expected, expected], rtol=1e-6)


def test_an_average_is_divided_before_the_base_value_is_added(kernels: Any) -> None:
    forest = Forest([Leaf({0: 1.0}), Leaf({0: 4.0})], average=True, base=[10.0])
    assert score(kernels, np.zeros((1, WIDTH), np.float32), tables_of(forest)).tolist() == [[12.5]]
