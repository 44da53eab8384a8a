"""The common parent of all specs: frozen, closed, and noting which mapping of the input each model was read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator


@dataclass
class Reading:
    """What validation knows of its input: the folder that paths start from, and the model of each mapping read."""

    folder: Path = field(default_factory=Path)
    models: dict[int, type[SpecModel]] = field(default_factory=dict)


class SpecModel(BaseModel):
    """A part of a spec. Fields can't be changed; unknown keys are errors; the YAML's keys are the aliases of fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        defer_build=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _note(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(info.context, Reading) and isinstance(data, dict):
            info.context.models[id(data)] = cls
        return data

    @classmethod
    def keys(cls) -> list[str]:
        """The keys that the YAML may hold."""
        return [info.alias or name for name, info in cls.model_fields.items()]
