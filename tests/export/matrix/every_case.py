"""All cases of the matrix, in the order of their kinds."""

from __future__ import annotations

from tests.export.matrix.boosters import BOOSTERS
from tests.export.matrix.columns import COLUMNS
from tests.export.matrix.combined import COMBINED
from tests.export.matrix.simple import SIMPLE
from tests.export.matrix.trees import TREES

CASES = [*SIMPLE, *TREES, *COMBINED, *COLUMNS, *BOOSTERS]
