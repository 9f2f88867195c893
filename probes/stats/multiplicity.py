"""Several tests at once: Holm's and Benjamini and Hochberg's corrections.

Holm bounds the chance of any false alarm in a family and is what verdicts use; Benjamini–Hochberg bounds the expected
share of false alarms and is for tables in which one looks around.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.protocol import Array


@dataclass(frozen=True, eq=False)
class Corrected:
    """The outcome of a family of tests, in the order of its p-values.

    Attributes:
        p_adjusted: Shape (K,); to be compared with the family's alpha.
        significant: Shape (K,), boolean.
    """

    p_adjusted: Array
    significant: Array


def holm(p_values: Sequence[float] | Array, *, alpha: float = 0.05) -> Corrected:
    """Holm's step-down correction: the chance of any false alarm is at most alpha, however the tests depend.

    Raises:
        ValueError: A p-value outside [0, 1], NaN included.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    return _corrected(p_values, alpha, "holm")


def benjamini_hochberg(p_values: Sequence[float] | Array, *, alpha: float = 0.05) -> Corrected:
    """Benjamini and Hochberg's step-up correction: among findings at most the share alpha is false, on average.

    It holds for independent and for positively dependent tests.

    Raises:
        ValueError: A p-value outside [0, 1], NaN included.

    Source: Benjamini and Hochberg (1995), "Controlling the false discovery rate"; Benjamini and Yekutieli (2001),
    theorem 1.2.
    """
    return _corrected(p_values, alpha, "fdr_bh")


def _corrected(p_values: Sequence[float] | Array, alpha: float, method: str) -> Corrected:
    p = np.asarray(p_values, dtype=np.float64)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1); got {alpha}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must lie in [0, 1]; got {p[~((p >= 0) & (p <= 1))].tolist()}")
    if p.size == 0:
        return Corrected(p, np.zeros(0, dtype=bool))
    from statsmodels.stats.multitest import multipletests  # imports pandas, which reading this module should not cost

    significant, adjusted, *_ = multipletests(p, alpha=alpha, method=method)
    return Corrected(np.asarray(adjusted), np.asarray(significant))
