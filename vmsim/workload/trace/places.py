"""Traces where they were recorded: the mappings of a trace step, and the files that they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmsim.spec.traces import TraceStep
from vmsim.struct.files import FMODE_READ
from vmsim.workload.strace.source import LogFacts
from vmsim.workload.trace.source import Area, TraceRequest, scan_areas


def trace_request(step: TraceStep, page_size: int) -> TraceRequest:
    """What a trace step asks for."""
    given = None if step.format == "auto" else step.format
    return TraceRequest(step.file, given, step.fetches == "touch", step.limit, page_size)


def code_file(request: TraceRequest) -> tuple[str, int]:
    """Name and pages of the file that holds the code of a trace; it is no file of the experiment's."""
    return f" code of {request.path}", sum(area.pages for area in scan_areas(request) if area.is_code)


def log_file_names(request: TraceRequest, facts: LogFacts) -> list[str]:
    """Names of the files that a log maps, in the order of their numbers; they are no files of the experiment's."""
    return [f" {number} of {request.path} up to {request.limit}: {file.path}" for number, file in enumerate(facts.files)]


def placed_areas(request: TraceRequest, files: Mapping[str, int]) -> Iterator[tuple[Area, int, int]]:
    """Each mapping of a trace with the descriptor of its file, -1 for anonymous memory, and the page offset there."""
    name, _ = code_file(request)
    at = 0
    for area in scan_areas(request):
        yield area, files[name] << 2 | FMODE_READ if area.is_code else -1, at if area.is_code else 0
        at += area.pages if area.is_code else 0
