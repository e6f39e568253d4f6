"""What the JSON kernels walk by: the types of their arguments.

Rule: types only. The codes that stand in the tables belong to the kernels that know them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]


class Wanted(NamedTuple):
    """Which values of an event are needed.

    Objects are numbered, the event itself is 0. Spans are numbered so that those of a field and of all below it follow
    each other. All ranges are of a first row and the row behind the last.
    """

    names: UInt8Array
    """The texts of all keys."""
    slots: Int64Array
    """For each hash the row of a key, or -1; the length is a power of two, and there are more than keys."""
    keys: Int64Array
    """``[k, 4]``: the object, begin and end of the text, and the field."""
    objects: Int64Array
    """``[o, 2]``: range of fields."""
    fields: Int64Array
    """``[f, 5]``: object below or -1, span of the value itself or -1, range of spans, what its reader checks (see
    `json_spans`)."""


class Scratch(NamedTuple):
    """Memory for one batch, all zeros."""

    seen: Int64Array
    """``[f]``: the fields of a row are ticked off in it."""
    path: Int64Array
    """As long as needed objects are deep: the objects on the way."""
    before: Int64Array
    """``[any, 4]``, the keys of the event before in their order: object, field, begin and end with the colon."""


class Actions(NamedTuple):
    """What is done with the spans."""

    actions: Int64Array
    """``[a, 8]``: what is done, span, first cell, cells (or the bits of a check), group of texts, code of a text that
    is not in it, whether that code is sure, and the first of the fills."""
    rules: npt.NDArray[np.float64]
    """``[a, 3]``: what the action's numbers are divided by, what is added, what they are multiplied by."""
    fills: Int64Array
    """Where in ``constants`` the cells of an absent value stand, or `json_cells.NOT_SURE`. An action has one for null,
    and one for each level at which the value may be absent."""
    constants: npt.NDArray[np.float32]
    names: UInt8Array
    """The texts of all categories and symbols."""
    slots: Int64Array
    """For each hash the row of a text, or -1; the length is a power of two, and there are more than texts."""
    texts: Int64Array
    """``[t, 4]``: group, begin and end in ``names``, and the code."""
