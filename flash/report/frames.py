"""Rows as a pandas data frame, for notebooks (extra ``pandas``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flash.extras import need

__all__ = ["data_frame"]


def data_frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A ``pandas.DataFrame`` of the rows, one column a key, in the order of the first row.

    Raises ``UsageError`` with the command that installs pandas where it is missing.
    """
    return need("pandas", extra="pandas", what="to_dataframe()").DataFrame(list(rows))
