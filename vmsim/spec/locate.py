"""Finding the files of machines and experiments by path or by bare name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from vmsim.errors import Problem, SpecError, unknown_name
from vmsim.spec.nodes import MAX_BYTES, Node, compose

Kind = Literal["configs", "experiments"]
_PACKAGE: Final = Path(__file__).resolve().parent.parent
_WHAT: Final = {"configs": "machine", "experiments": "experiment"}
_MARK: Final = {
    "configs": re.compile(rb"^ram\s*:", re.MULTILINE),
    "experiments": re.compile(rb"^title\s*:", re.MULTILINE),
}
_SUFFIXES: Final = (".yaml", ".yml")


def packaged(kind: Kind) -> Path:
    """The folder of the files that come with vmsim: in a wheel inside the package, in a checkout beside it."""
    inside = _PACKAGE / "data" / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def available(kind: Kind, near: Path | None = None) -> dict[str, Path]:
    """The files that can be used by bare name; the first place that has a name wins: `near`, ./configs, packaged."""
    found: dict[str, Path] = {}
    for folder in (near, Path.cwd() / kind, packaged(kind)):
        if folder is None or not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if path.suffix in _SUFFIXES and path.is_file() and (folder is not near or _looks_like(path, kind)):
                found.setdefault(path.stem, path)
    return found


def _looks_like(path: Path, kind: Kind) -> bool:
    """Whether a file in a folder of anything is of the kind that is looked for."""
    try:
        with path.open("rb") as stream:
            return _MARK[kind].search(stream.read(1 << 16)) is not None
    except OSError:
        return False


def locate(name: str, kind: Kind, near: Path | None = None) -> Path:
    """The file of a machine or experiment: a path (from `near`, else from the current directory), or a bare name.

    Raises ValueError that names the nearest known one.
    """
    if "\0" in name or len(name) > 1000:
        raise ValueError(f"{name[:80]!r} is no name of a file")
    path = (near or Path()) / name
    is_path = path.suffix in _SUFFIXES or "/" in name
    if is_path and (path.exists() or near is None):
        return path
    if path.is_file() and near is None:
        return path
    known = available(kind, near)
    bare = Path(name).stem if path.suffix in _SUFFIXES and "/" not in name else name
    if bare in known:
        return known[bare]
    if is_path:
        raise ValueError(f"there is no file {str(path)!r}")
    raise ValueError(unknown_name(_WHAT[kind], name[:80], known))


def read_tree(path: Path) -> Node:
    """The tree of a YAML file. Raises SpecError, also where the file can't be read."""
    file = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError([Problem(file, 0, "", f"can't be read: {reason}")]) from None
    if len(content) > MAX_BYTES:
        raise SpecError([Problem(file, 0, "", f"larger than {MAX_BYTES >> 20} MiB, too large for an experiment")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError([Problem(file, line, "", f"not UTF-8 text (byte {error.start})")]) from None
    return compose(text, file)
