"""The address space that a program starts with.

`dynamic` is a small dynamically linked program on x86-64 in 2015, in the layout that the kernel and glibc 2.19 give it: 17 VMAs.
Where pages are larger, each piece takes as many as hold it.  The pieces of a library lie right above the area in which mmap places
new mappings, so what a program does beyond the end of its first large mapping, it does to the C library.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vmsim.struct.vmas import VM_DONTEXPAND, VM_EXEC, VM_GROWSDOWN, VM_IO, VM_PFNMAP, VM_READ, VM_WRITE

RX = VM_READ | VM_EXEC
RW = VM_READ | VM_WRITE
SMALL_PAGE = 4096  # the numbers here are of such pages
IMAGE_FILES = ("program", "libc.so", "ld.so")
PROGRAM_START = 0x400
STACK_PAGES = 33  # 132 KiB: arguments and 128 KiB (fs/exec.c: setup_arg_pages)
# The code of the C library begins 31 pages into its text segment; headers and symbol tables come first (readelf -S, glibc 2.19).
CODE_PAGE = 31


@dataclass(frozen=True)
class Piece:
    """One VMA: its pages, flags, file and page offset there, and the free pages that follow it."""

    pages: int
    flags: int
    file: str | None = None
    pgoff: int = 0
    gap: int = 0
    heap: bool = False


HEAP = Piece(33, RW, heap=True)
LOW = (Piece(12, RX, "program", 0, gap=511), Piece(1, VM_READ, "program", 12), Piece(1, RW, "program", 13, gap=30), HEAP)
HIGH = (
    Piece(447, RX, "libc.so", 0), Piece(512, 0, "libc.so", 447), Piece(4, VM_READ, "libc.so", 447), Piece(2, RW, "libc.so", 451),
    Piece(4, RW), Piece(35, RX, "ld.so", 0, gap=460), Piece(3, RW, gap=12), Piece(2, VM_READ | VM_IO | VM_PFNMAP | VM_DONTEXPAND),
    Piece(2, RX | VM_DONTEXPAND), Piece(1, VM_READ, "ld.so", 35), Piece(1, RW, "ld.so", 36), Piece(1, RW),
)  # fmt: skip
STACK = Piece(STACK_PAGES, RW | VM_GROWSDOWN)


def _scaled(pieces: tuple[Piece, ...], page_size: int) -> list[Piece]:
    unit = page_size // SMALL_PAGE
    return [replace(piece, pages=-(-piece.pages // unit), pgoff=-(-piece.pgoff // unit), gap=-(-piece.gap // unit)) for piece in pieces]


def image_files(page_size: int) -> dict[str, int]:
    """The files of the dynamic image with their sizes in pages."""
    pieces = [piece for piece in _scaled(LOW + HIGH, page_size) if piece.flags != 0]
    return {name: max(piece.pgoff + piece.pages for piece in pieces if piece.file == name) for name in IMAGE_FILES}


def dynamic_image(mmap_base: int, task_size: int, page_size: int) -> list[tuple[int, Piece]]:
    """The pieces of the dynamic image with their first pages; `mmap_base` and `task_size` in pages."""
    placed: list[tuple[int, Piece]] = []
    at = PROGRAM_START * SMALL_PAGE // page_size
    for piece in _scaled(LOW, page_size):
        placed.append((at, piece))
        at += piece.pages + piece.gap
    at = _library_start(mmap_base, page_size)
    for piece in _scaled(HIGH, page_size):
        placed.append((at, piece))
        at += piece.pages + piece.gap
    stack = _scaled((STACK,), page_size)[0]
    placed.append((task_size - 1 - stack.pages, stack))
    return placed


def code_page(mmap_base: int, page_size: int) -> int:
    """The page that the C library's code runs from."""
    return _library_start(mmap_base, page_size) + CODE_PAGE * SMALL_PAGE // page_size


def _library_start(mmap_base: int, page_size: int) -> int:
    return mmap_base - sum(piece.pages + piece.gap for piece in _scaled(HIGH, page_size))
