"""The bytes of pages: each store makes contents with a new number, which remember what they were made from."""

from __future__ import annotations

from vmsim.workload.replay import FILE_PAGES


class Contents:
    """Contents 0 are zeros, 1 to FILE_PAGES those of the test file's pages: page p is full of the byte p + 1 up to the file's end."""

    def __init__(self, file_size: int, page_size: int) -> None:
        self._file_size = file_size
        self._page_size = page_size
        self._parent = [0] * (FILE_PAGES + 1)
        self._byte = [(-1, 0)] * (FILE_PAGES + 1)

    @property
    def next(self) -> int:
        """The number that the next store makes."""
        return len(self._parent)

    def store(self, parents: list[int], offset: int, value: int) -> None:
        """Stores of `value` at `offset` into pages that had the contents `parents`, one after the other."""
        self._parent.extend(parents)
        self._byte.extend([(offset, value)] * len(parents))

    def load(self, number: int, offset: int) -> int:
        """The byte at `offset` of contents."""
        while number > FILE_PAGES:
            at, value = self._byte[number]
            if at == offset:
                return value
            number = self._parent[number]
        if number == 0 or (number - 1) * self._page_size + offset >= self._file_size:
            return 0
        return number
