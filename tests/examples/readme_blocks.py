"""The parts of the README that are made from the program, and the README's code blocks.

`python tests/examples/readme_blocks.py [RESULT_DIR]` writes the generated parts anew; with a result directory of the
experiment `lock-on-fault`, the accuracy table too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def code_blocks(language: str) -> list[str]:
    """The README's blocks in one language, in order."""
    return [body for found, body in _BLOCK.findall(README.read_text("utf-8")) if found == language]


def generated_part(name: str) -> str:
    """What stands in the README between the marks of a generated part."""
    match = _marked(name).search(README.read_text("utf-8"))
    assert match is not None, f"README.md has no generated part {name!r}"
    return match[2]


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- generated: {name} -->\n)(.*?)(<!-- end of {name} -->)", re.DOTALL)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def keys() -> str:
    """The reference of all keys, its headings three levels down, so that they stand below the README's."""
    from vmsim.spec.reference import reference

    _, _, text = reference().partition("\n")
    deeper = re.sub(r"^(#+) ", lambda match: "#" * min(6, len(match[1]) + 2) + " ", text, flags=re.MULTILINE)
    return deeper.strip() + "\n"


def _mentions(folder: str) -> set[str]:
    """Names of constants in the sources of a room."""
    texts = (path.read_text("utf-8") for path in sorted((ROOT / "vmsim" / folder).rglob("*.py")))
    return {name for text in texts for name in re.findall(r"\b[A-Z][A-Z0-9_]+\b", text)}


def rules() -> str:
    """All rules of kernel versions, with the versions that they hold in and whether the modelled calls consult them."""
    from vmsim.arch.rules import RULES, VERSIONS

    used = _mentions("mm") | _mentions("machine") | _mentions("hw")
    rows = (
        (
            f"`{rule.name}`",
            ", ".join(version for version in VERSIONS if rule.holds(version)),
            rule.what,
            rule.source,
            "yes" if f"R_{rule.name.upper()}" in used else "not yet",
        )
        for rule in RULES
    )
    return table(("rule", "holds in", "what it says", "source", "consulted"), rows)


def acting() -> str:
    """Which settings and calls the modelled kernel acts on."""
    from vmsim.machine.boot import BOOT_SYSCTLS
    from vmsim.spec.costs import COSTS
    from vmsim.spec.rlimits import RESOURCES
    from vmsim.struct import kernel as kn
    from vmsim.struct.syscalls import SYSCALL_NAMES
    from vmsim.workload.sysctls import SYSCTL_NUMBERS

    used = _mentions("mm") | _mentions("hw") | _mentions("workload") | _mentions("machine")
    in_mm = _mentions("mm")
    numbers = {index: name for name, index in vars(kn).items() if name.startswith("SYS_") and isinstance(index, int)}
    calls = {name.removeprefix("SYS_") for name in _calls() if name.startswith("SYS_")}
    lists = {
        "System calls that are carried out": [name for name in SYSCALL_NAMES if name.upper() in calls],
        "Sysctls that change something": [name for name, index in SYSCTL_NUMBERS.items() if numbers[index] in in_mm] + list(BOOT_SYSCTLS),
        "Rlimits that are enforced": [name for name in RESOURCES if name in in_mm],
        "Costs that nothing charges yet": [name for name in COSTS if f"C_{name.upper()}" not in used],
    }
    lines = (f"- {what}: {', '.join(f'`{name}`' for name in names) or 'none'}.\n" for what, names in lists.items())
    return "".join(lines)


def _calls() -> set[str]:
    texts = ((ROOT / "vmsim" / "workload" / name).read_text("utf-8") for name in ("calls.py", "file_calls.py"))
    return {name for text in texts for name in re.findall(r"\bSYS_[A-Z0-9_]+\b", text)}


def fitted() -> str:
    """The fitted constants of the machine `lock-on-fault-2015`, as its file marks them."""
    text = (ROOT / "configs" / "lock-on-fault-2015.yaml").read_text("utf-8")
    found = re.findall(r"^  (\w+): (\S+ \S+) +# fitted: (.*)$", text, re.MULTILINE)
    return table(("constant of `lock-on-fault-2015`", "value", "fitted on"), ((f"`{n}`", v, on) for n, v, on in found))


GENERATED: dict[str, Callable[[], str]] = {"keys": keys, "rules": rules, "acting": acting, "fitted": fitted}
ACCURACY_HEADS = ("row", "phase", "kind", "published, ms", "simulated, ms", "spread, ms", "error")


def accuracy(directory: str) -> str:
    """The accuracy table, from a result directory of `lock-on-fault`."""
    from vmsim.experiment.store import load_results
    from vmsim.report.compare import phase_lines

    lines = phase_lines(load_results(directory))
    rows = (
        (
            line.row,
            line.phase,
            line.kind,
            line.published_fails or _ms(line.published_ns),
            f"{line.stopped_by}, {line.stopped_after_signals or 0:,.0f} signals"
            if line.stopped_runs
            else _ms(line.simulated_ns),
            _ms(line.spread_ns),
            "–" if line.error_percent is None else f"{round(line.error_percent, 1) + 0.0:+.1f} %",
        )
        for line in lines
    )
    runs = max(line.runs for line in lines)
    return f"Runs of each row: {runs}.\n\n" + table(ACCURACY_HEADS, rows)


def _ms(ns: float | None) -> str:
    return "–" if ns is None else f"{ns / 1e6:,.3f}"


def main() -> None:
    """Write the generated parts anew."""
    made = {name: make() for name, make in GENERATED.items()}
    if sys.argv[1:]:
        made["accuracy"] = accuracy(sys.argv[1])
    text = README.read_text("utf-8")
    for name, part in made.items():
        text = _marked(name).sub(lambda match, part=part: match[1] + part + match[3], text)
    README.write_text(text, "utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
