"""Filling the rows and tables of access patterns before a run."""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from vmsim.errors import VmsimError
from vmsim.machine.streams import Streams
from vmsim.spec.patterns import GraphPattern, HotColdPattern, ReplayPattern, StridePattern, ZipfPattern
from vmsim.struct import files as f
from vmsim.struct.kernel import Kernel
from vmsim.workload.assembly import PatternUse, signed
from vmsim.workload.patterns import FNV_OFFSET, ONE_U53, zipf_permutation

_TYPES = {
    "sequential": f.PATTERN_SEQUENTIAL, "stride": f.PATTERN_STRIDE, "uniform": f.PATTERN_UNIFORM, "zipf": f.PATTERN_ZIPF,
    "hotcold": f.PATTERN_HOTCOLD, "graph": f.PATTERN_GRAPH, "replay": f.PATTERN_REPLAY,
}  # fmt: skip


def u53(probability: float) -> int:
    """A probability in units of 2**-53, exactly what comparing ``(x >> 11) * 2**-53 < probability`` needs."""
    return math.ceil(math.ldexp(probability, 53))


def table_size(use: PatternUse) -> int:
    """Entries of `pattern_table` that a pattern needs."""
    if isinstance(use.spec, ZipfPattern):
        return 2 * use.pages
    return len(_replayed(use)) if isinstance(use.spec, ReplayPattern) else 0


def _replayed(use: PatternUse) -> NDArray[np.int64]:
    """The pages of a replay. Raises VmsimError for a page outside the region, or a file that holds no page numbers."""
    spec = use.spec
    assert isinstance(spec, ReplayPattern)
    if spec.pages is not None:
        pages = np.array(spec.pages, np.int64)
    else:
        assert spec.file is not None
        try:
            given = np.load(spec.file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise VmsimError(f"{spec.file}: not an array of page numbers (.npy): {error}") from None
        if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "iu":
            raise VmsimError(f"{spec.file}: expected a one-dimensional array of integers, got {given.dtype} of shape {given.shape}")
        pages = given.astype(np.int64)
    outside = np.flatnonzero((pages < 0) | (pages >= use.pages))
    if len(outside):
        where = spec.file or "pattern.pages"
        raise VmsimError(f"{where}: entry {outside[0]} is page {pages[outside[0]]}, but the region has pages 0 to {use.pages - 1}")
    return pages


def _zipf_thresholds(pages: int, theta: float) -> NDArray[np.int64]:
    """The cumulative distribution over ranks, in units of 2**-53."""
    cumulative = np.fromiter(accumulate(math.pow(rank, -theta) for rank in range(1, pages + 1)), np.float64, pages)
    thresholds: NDArray[np.int64] = np.floor(np.ldexp(cumulative / cumulative[-1], 53)).astype(np.int64)
    return thresholds


def fill_patterns(kernel: Kernel, uses: list[PatternUse], streams: Streams) -> None:
    """Write the row (and table) of each pattern; row i + 1 is `uses[i]`."""
    offset = 0
    for number, use in enumerate(uses, start=1):
        row = kernel.pattern[number]
        spec = use.spec
        exact = spec.generator == "xorshift64"
        row[f.PAT_TYPE] = _TYPES[spec.type]
        row[f.PAT_STATE] = signed(spec.start_state if exact else streams.state(use.stream))
        row[f.PAT_MODULO] = row[f.PAT_HASH_ON] = 1 if exact else 0
        row[f.PAT_HASH] = FNV_OFFSET
        row[f.PAT_PAGES] = use.pages
        row[f.PAT_WRITE_U53] = min(u53(use.writes), ONE_U53)
        row[f.PAT_TABLE] = offset
        if isinstance(spec, StridePattern):
            row[f.PAT_STRIDE] = spec.stride
        elif isinstance(spec, HotColdPattern):
            row[f.PAT_HOT_PAGES] = hot = max(1, int(use.pages * spec.hot_fraction))
            row[f.PAT_HOT_U53] = u53(spec.hot_probability) if hot < use.pages else ONE_U53
        elif isinstance(spec, GraphPattern):
            row[f.PAT_DEGREE] = spec.degree
            row[f.PAT_LOCAL_U53] = u53(spec.locality)
            row[f.PAT_RESTART_U53] = u53(spec.restart)
        elif isinstance(spec, ReplayPattern):
            pages = _replayed(use)
            kernel.pattern_table[offset : offset + len(pages)] = pages << 1
            row[f.PAT_TABLE_LEN] = len(pages)
            offset += len(pages)
        elif isinstance(spec, ZipfPattern):
            kernel.pattern_table[offset : offset + use.pages] = _zipf_thresholds(use.pages, spec.theta)
            zipf_permutation(kernel.k, number)
            offset += 2 * use.pages
