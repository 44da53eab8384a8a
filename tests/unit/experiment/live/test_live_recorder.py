"""The recorder on the running kernel: it is compiled, does what programs say, refuses what is none, and ends when it should."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from live_kernel import need_modelled_kernel, need_recorder

from vmsim.cli import main
from vmsim.errors import VmsimError
from vmsim.experiment.conform.recording import read_sequences, sequences_of
from vmsim.experiment.conform.replay import Replayer
from vmsim.experiment.live import build
from vmsim.experiment.live.build import recorder_path, why_not
from vmsim.experiment.live.generator import PROFILES, generate
from vmsim.experiment.live.program import Program, inputs_of, recorder_text
from vmsim.experiment.live.recorder_process import Recorder, RecorderError
from vmsim.struct.jit import JIT

DATA = Path(__file__).parents[3] / "conformance" / "data"
NOBODY = 65534


@pytest.mark.parametrize("profile", PROFILES)
def test_lines_are_a_recording(profile: str) -> None:
    """Header, start, one line an operation with the arguments it was given, end."""
    need_recorder()
    program = generate(11, profile)
    with Recorder() as recorder:
        lines = recorder.record(program)
    (sequence,) = sequences_of("live", enumerate(lines, 1))
    assert sequence.header["kernel"] == platform.release()
    assert sequence.header["file"]["size"] == program.file_size
    assert tuple(inputs_of(step.record) for step in sequence.steps) == program.ops


def test_recordings_of_this_kernel_are_repeated() -> None:
    """The sample of recordings holds kernel 6.18.44: on a 6.18 the same programs give the same lines, byte for byte."""
    need_recorder()
    if not platform.release().startswith("6.18.") or os.geteuid() != 0:
        pytest.skip(f"the recordings were made by root on 6.18, this is {platform.release()}")
    with Recorder() as recorder:
        for profile in PROFILES:
            path = DATA / f"6.18.44-{profile}.jsonl.gz"
            recorded = [sequence.header["seed"] for sequence in read_sequences(path)]
            before = {int(chunk[0]): chunk[1] for chunk in _states(path)}
            for seed in recorded:
                assert recorder.record(generate(seed, profile))[1:] == before[seed]


def _states(path: Path) -> list[tuple[int, list[bytes]]]:
    """For each sequence its seed and its lines after the header."""
    import gzip
    import json

    found: list[tuple[int, list[bytes]]] = []
    for line in gzip.decompress(path.read_bytes()).splitlines(keepends=True):
        if line.startswith(b'{"header"'):
            found.append((json.loads(line)["header"]["seed"], []))
        else:
            found[-1][1].append(line)
    return found


def test_a_user_without_rights_records_too(tmp_path: Path) -> None:
    """As nobody, without capabilities: the zero page is not told apart, and every answer is still the simulator's."""
    need_modelled_kernel()
    if os.geteuid() != 0:
        pytest.skip("the other tests run without rights already")
    folder = Path("/tmp") / f"vmsim-recorder-{os.getpid()}"
    folder.mkdir()
    try:
        folder.chmod(0o755)
        path = shutil.copy(recorder_path(), folder / "recorder")
        text = "".join(recorder_text(generate(seed, profile)) for seed in range(3 if JIT else 1) for profile in PROFILES)
        done = subprocess.run(
            [path], input=text.encode(), capture_output=True, check=True, user=NOBODY, group=NOBODY, extra_groups=[], timeout=120
        )
    finally:
        shutil.rmtree(folder)
    replayer = Replayer()
    for sequence in sequences_of("nobody", enumerate(done.stdout.splitlines(keepends=True), 1)):
        assert (sequence.header["uid"], sequence.header["zero_page_known"]) == (NOBODY, False)
        assert replayer.replay(sequence) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("programme\n", "expected one"),
        ("program 1 basic 0 0 0 0\n", "the end of a line is no number"),
        ("program 1 basic 0 0 999999 0 0\n", "a file of 999999"),
        ("program 1 basic 0 0 0 0 1\n", "at the end"),
        ("program 1 basic 0 0 0 0 1\nexec 1\n", "no operation exec"),
        ("program 1 basic 0 0 0 0 1\nmunmap 4096 4096\n", "an address below the arena"),
        ("program 1 basic 0 0 0 0 1\nread 35184372088832 600 1\n", "touches of 600"),
        ("program 1 calls 0 0 0 0 1\nmadvise 35184372088832 4096 100\n", "advice that gives memory of the machine up"),
        ("program 1 basic 0 0 0 0 1\nfork 1\nfork 0\n", "no operation fork"),
    ],
)
def test_what_is_no_program_is_refused(text: str, message: str) -> None:
    need_recorder()
    done = subprocess.run([recorder_path()], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert message in done.stderr


def test_the_recorder_ends_with_its_context() -> None:
    """Nothing runs on after the block, after an error in it, or after a recorder that takes too long; each is told."""
    need_recorder()
    with Recorder() as recorder:
        recorder.record(generate(1, "basic"))
        child = recorder._child
    assert child is not None
    assert child.poll() is not None
    with Recorder(seconds=0.0) as recorder, pytest.raises(RecorderError, match="did not answer"):
        recorder.record(generate(1, "basic"))
    assert recorder._child is None
    with Recorder() as recorder:
        with pytest.raises(RecorderError, match="is no number"):
            recorder.record(Program(1, "a program of wrong", ()))
        assert recorder.record(Program(1, "basic", ()))[-1] == b'{"end":0}\n'


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a compiler and a recorder compiled before, the command says what is missing: exit status 2."""
    monkeypatch.setattr(build, "cache_root", lambda: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert why_not() is not None
    with pytest.raises(VmsimError):
        recorder_path()
    assert main(["record", "--steps", "10", "--quiet"]) == 2
    assert "vmsim: " in capsys.readouterr().err


def test_a_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it said is told, and nothing is left in the cache."""
    if why_not() is not None:
        pytest.skip(str(why_not()))
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho no such header >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(build, "cache_root", lambda: tmp_path / "cache")
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(VmsimError, match="no such header"):
        recorder_path()
    assert list((tmp_path / "cache").iterdir()) == []
