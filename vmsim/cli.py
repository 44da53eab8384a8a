"""The command line: what can be asked for, and how an answer ends (exit status 0; 2 for a mistake in the input; 1 for a defect).

Only this file is loaded for `--help`; each command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from vmsim.errors import ImpossibleState, VmsimError, unknown_name

EXIT_OK = 0
EXIT_DEFECT = 1
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_HANDS_ON = "bench"  # the command that reads its own options
_SUMMARY = "A laboratory for Linux memory management: simulate a whole machine, see where the time goes."


class _UsageError(VmsimError):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}\n{self.format_usage().strip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _carry_out(words)
        sys.stdout.flush()
        return status
    except VmsimError as error:
        print(f"vmsim: {error}", file=sys.stderr)
        return EXIT_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        print("vmsim: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        return _report_defect(error)


def _report_defect(error: Exception) -> int:
    if os.environ.get("VMSIM_TRACEBACK"):
        traceback.print_exc()
        return EXIT_DEFECT
    what = str(error) if isinstance(error, ImpossibleState) else f"{type(error).__name__}: {error}"
    print(f"vmsim: internal error: {what}", file=sys.stderr)
    print("This is a defect of vmsim. VMSIM_TRACEBACK=1 in the environment shows where it arose.", file=sys.stderr)
    return EXIT_DEFECT


def _carry_out(words: list[str]) -> int:
    parser, commands = _parsers()
    command = next((word for word in words if not word.startswith("-")), None)
    if command is not None and command not in commands:
        raise _UsageError(unknown_name("command", command, commands))
    args, extra = parser.parse_known_args(words)
    if extra and args.command != _HANDS_ON:
        raise _UsageError(_unexpected(extra[0], commands.get(args.command, parser)))
    if args.command is None and not args.version:
        parser.print_help()
        return EXIT_INPUT
    args.rest = extra
    module, _, function = _COMMANDS[args.command or "version"].does.partition(":")
    return int(getattr(import_module(module), function)(args))


def _unexpected(word: str, parser: argparse.ArgumentParser) -> str:
    usage = parser.format_usage().strip()
    if not word.startswith("-"):
        return f"unexpected argument {word!r}\n{usage}"
    return unknown_name("option", word.partition("=")[0], {"--help", *re.findall(r"--[a-z][a-z-]*", usage)})


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(
        prog="vmsim",
        description=_SUMMARY,
        epilog="vmsim COMMAND --help tells more about a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    within = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    parsers = {
        name: within.add_parser(name, help=c.told, description=c.told, allow_abbrev=False)
        for name, c in _COMMANDS.items()
    }
    for name, command in _COMMANDS.items():
        command.add_arguments(parsers[name])
    return parser, parsers


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 63:
        raise argparse.ArgumentTypeError(f"expected a whole number below 2^63, got {text!r}")
    return int(text)


def _run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help="an experiment file, or the name of an experiment that comes with vmsim")
    add(
        "--set",
        dest="overrides",
        metavar="A.B=C",
        action="append",
        default=[],
        help="replace one value of the file; may be repeated",
    )
    add("--seeds", metavar="N", type=_count, help="number of runs of each row (default: as the file says)")
    add("--jobs", metavar="N", type=_count, help="processes to use (default: all cores)")
    add("--out", metavar="DIR", help="result directory (default: results/NAME of the experiment)")
    add("--rows", metavar="A,B", help="run only the rows with these ids")
    add("--force", action="store_true", help="replace results of another spec that are in the directory")
    add("--no-plots", action="store_true", help="draw no plots (default: those that the file names)")
    add("--quiet", action="store_true", help="show no progress")


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="an experiment or machine file")


def _table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", help="a result directory")
    parser.add_argument("--json", action="store_true", help="print a list of objects, one for each row and phase")
    parser.add_argument("--facts", action="store_true", help="with --json: the stated counts instead")


def _plot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", help="a result directory")
    parser.add_argument(
        "plots",
        metavar="PLOT",
        nargs="*",
        help="bars, where, cdf, series or memory (default: what the experiment names)",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="where to put the pictures (default: plots in the result directory)"
    )
    parser.add_argument("--format", default="png", metavar="FORMAT", help="png, svg or pdf (default: png)")


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", help="a result directory")
    parser.add_argument("--row", metavar="ID", help="the row to show (default: an overview of all)")
    parser.add_argument("--seed", metavar="N", type=int, help="the run of that seed index (default: the first)")
    parser.add_argument("--proc", metavar="FILE", help="only what the program's `show` steps kept of this file of /proc (with --row)")


def _schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="experiment|machine", nargs="?", default="any", help="default: either of them")


def _trace(parser: argparse.ArgumentParser) -> None:
    inspect = parser.add_subparsers(dest="action", metavar="ACTION", required=True).add_parser(
        "inspect", allow_abbrev=False
    )
    add = inspect.add_argument
    add("files", metavar="FILE", nargs="+", help="a trace file, plain or compressed")
    add("--format", metavar="NAME", help="the trace format (default: told from the file)")
    add("--json", action="store_true", help="print a list of objects, one a file")
    add("--plot", metavar="PNG", help="draw the working sets over time into this file")
    add(
        "--page-size", metavar="BYTES", default="4 KiB", help="page size that addresses are counted in (default: 4 KiB)"
    )
    add("--window", metavar="N", type=_count, help="accesses in a window of the working set")


def _conform(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", metavar="FILE", nargs="+", help="a recording: JSON lines, plain or gzip'd")
    add("--json", action="store_true", help="print the counts and each first divergence as JSON")
    add("--max", metavar="N", type=_count, default=10, help="show at most so many divergences (default: 10)")
    add("--seed", metavar="S", type=int, help="replay only the sequence of this seed")
    add(
        "--rule",
        dest="rules",
        metavar="NAME=on|off",
        action="append",
        default=[],
        help="switch one kernel-version rule; may be repeated",
    )


def _record(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--steps", metavar="N", type=_count, default=10_000, help="stop after so many steps (default: 10000)")
    add("--seed", metavar="S", type=_seed, help="seed of the first sequence, the next have the numbers after it (default: a random one)")
    add(
        "--profile",
        dest="profiles",
        metavar="NAME",
        action="extend",
        nargs="+",
        default=[],
        help="what sequences stress: basic, mlock, file, fork, limits, all (a mix) or calls; several take turns (default: each of them)",
    )
    add("--out", metavar="FILE.jsonl.gz", help="keep the recording, for vmsim conform")
    add("--no-compare", action="store_true", help="only record")
    add("--json", action="store_true", help="print the counts and the difference as JSON")
    add("--quiet", action="store_true", help="show no progress")
    add(
        "--rule",
        dest="rules",
        metavar="NAME=on|off",
        action="append",
        default=[],
        help="switch one kernel-version rule; may be repeated",
    )


def _validate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", metavar="FILE", nargs="+", help="a recording of a whole system: JSON, plain or gzip'd")
    add("--json", action="store_true", help="print all checks as JSON")
    add("--jobs", metavar="N", type=_count, help="processes to use (default: all cores)")
    add("--label", dest="labels", metavar="L", action="append", default=[], help="only this label; may be repeated")
    add("--brief", action="store_true", help="show only what disagrees")
    add("--quiet", action="store_true", help="show no progress")


def _strace(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", metavar="FILE", nargs="+", help="a log of strace, plain or compressed")
    add("--json", action="store_true", help="print the counts, assumptions and divergences as JSON")
    add("--max", metavar="N", type=_count, default=10, help="show at most so many divergences (default: 10)")
    add("--kernel", metavar="VERSION", help="the kernel that the log is from (default: as the log says, else the newest)")
    add(
        "--rule",
        dest="rules",
        metavar="NAME=on|off",
        action="append",
        default=[],
        help="switch one kernel-version rule; may be repeated",
    )


@dataclass(frozen=True)
class _Command:
    told: str
    does: str  # module:function, given the arguments, returns the exit status
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None


_COMMANDS = {
    "run": _Command("run an experiment and print its table", "vmsim.cli_run:run", _run),
    "check": _Command("check experiment and machine files without running them", "vmsim.cli_about:check", _check),
    "table": _Command("print the table of a result directory", "vmsim.cli_report:table", _table),
    "plot": _Command("draw the plots of a result directory", "vmsim.cli_report:plot", _plot),
    "show": _Command("show the counters and the division of time of one run", "vmsim.cli_report:show", _show),
    "list": _Command("list the experiments and machines that come with vmsim", "vmsim.cli_about:list_known"),
    "schema": _Command("print the JSON Schema of experiment or machine files", "vmsim.cli_about:schema", _schema),
    "trace": _Command("inspect traces of memory accesses", "vmsim.cli_about:trace", _trace),
    "conform": _Command("replay recorded kernels and compare every answer", "vmsim.cli_conform:conform", _conform),
    "record": _Command(
        "record the running kernel, compare the simulator with it, and shrink what differs", "vmsim.cli_record:record", _record
    ),
    "validate": _Command("replay recorded machines and compare their counts", "vmsim.cli_validate:validate", _validate),
    "strace": _Command("replay logs of strace and compare every memory call", "vmsim.cli_conform:strace", _strace),
    "bench": _Command("measure vmsim's own speed on this machine", "vmsim.cli_about:bench"),
    "version": _Command("print the version", "vmsim.cli_about:show_version"),
}
