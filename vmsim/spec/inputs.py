"""Files that an experiment reads beside its YAML: traces, arrays of page numbers."""

from __future__ import annotations

from pydantic import ValidationInfo

from vmsim.spec.model import Reading


def input_file(value: str, info: ValidationInfo) -> str:
    """The whole path of such a file; a relative one starts from the folder of the YAML file."""
    folder = info.context.folder if isinstance(info.context, Reading) else None
    if folder is None:
        return value
    path = folder / value
    if "\0" in value or not path.is_file():
        raise ValueError(f"there is no file {str(path)!r}")
    return str(path.resolve())
