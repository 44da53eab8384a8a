"""`vmsim conform` on recordings that are right, changed, damaged or no recordings at all."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from vmsim.cli import main
from vmsim.errors import VmsimError
from vmsim.experiment.conform import tally
from vmsim.experiment.conform.contents import Contents
from vmsim.experiment.conform.recording import read_sequences, runs
from vmsim.experiment.conform.replay import Replayer

FOUND = Path(__file__).parents[2] / "conformance" / "data" / "found.jsonl.gz"


def lines() -> list[str]:
    """The first sequence of the sample, line by line."""
    text = gzip.decompress(FOUND.read_bytes()).decode()
    end = text.index('{"end"')
    return text[: text.index("\n", end) + 1].splitlines(keepends=True)


def write(path: Path, content: list[str] | bytes) -> Path:
    path.write_bytes("".join(content).encode() if isinstance(content, list) else content)
    return path


def test_agreeing_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last line counts sequences, steps and divergences; the exit status is 0. A plain file is as good as a compressed one."""
    recording = lines()
    path = write(tmp_path / "a.jsonl", recording)
    assert main(["conform", str(path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("sequences 1 steps ")
    assert last.endswith(" divergences 0")
    assert main(["conform", "--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["divergences"] == 0


def test_changed_answer_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording with one errno changed: the step, what was expected and what the simulator says; exit status 1."""
    recording = lines()
    number, record = next((n, json.loads(text)) for n, text in enumerate(recording) if '"err":"EINVAL"' in text)
    recording[number] = recording[number].replace("EINVAL", "EBUSY")
    path = write(tmp_path / "a.jsonl", recording)
    assert main(["conform", str(path)]) == 1
    out = capsys.readouterr().out
    assert f"a.jsonl:{number + 1}: " in out
    assert f"> {record['i']:3} {record['op']}" in out
    assert "expected  EBUSY" in out
    assert "simulated EINVAL" in out
    assert out.splitlines()[-1].endswith("divergences 1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: [], "the file is empty"),
        (lambda text: text[:-1], "the file ends within the sequence"),
        (lambda text: text[1:], "expected a line with a header"),
        (lambda text: [*text[:3], "{]\n", *text[3:]], "a.jsonl:4: not a JSON line"),
        (lambda text: [*text[:2], "[1]\n", *text[2:]], "a.jsonl:3: expected a JSON object"),
        (lambda text: [text[0], *text[2:]], "a.jsonl:2: expected the start line"),
        (lambda text: [*text[:-1], '{"end":3}\n'], "the end line says 3"),
        (lambda text: [text[0].replace('"overcommit"', '"over"'), *text[1:]], "the field 'overcommit' is missing"),
        (lambda text: [text[0].replace("6.18.44", "2.6.32"), *text[1:]], "no kernel version"),
        (lambda text: [*text[:2], text[2].replace('"mmap"', '"munmap2"'), *text[3:]], "munmap2"),
    ],
)
def test_damaged_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str], change, message: str) -> None:
    """Exit status 2 and one line that names file and line."""
    path = write(tmp_path / "a.jsonl", change(lines()))
    assert main(["conform", str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_cut_short_or_changed_anywhere(tmp_path: Path) -> None:
    """Compressed files that end early, and single bytes changed: a VmsimError, a difference or nothing, never another exception."""
    draw = random.Random(7)
    packed = FOUND.read_bytes()
    text = "".join(lines()).encode()
    replayer = Replayer()
    samples = [packed[: draw.randrange(len(packed))] for _ in range(8)]
    for _ in range(60):
        changed = bytearray(text)
        for _ in range(draw.randrange(1, 4)):
            changed[draw.randrange(len(changed))] = draw.choice(b'0123456789-[]{}",:.aZ\x00\xff')
        samples.append(bytes(changed))
    for number, sample in enumerate(samples):
        path = write(tmp_path / f"{number}.jsonl", sample)
        try:
            for sequence in read_sequences(path):
                replayer.replay(sequence)
        except VmsimError as error:
            assert str(path) in str(error)


def test_damage_behind_a_difference_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sequence is replayed up to its first difference; the lines behind that must be operations all the same."""
    recording = lines()
    number = next(n for n, text in enumerate(recording) if '"err":"EINVAL"' in text)
    recording[number] = recording[number].replace("EINVAL", "EBUSY")
    recording[-2] = recording[-2][:20] + "\n"
    path = write(tmp_path / "a.jsonl", recording)
    assert main(["conform", str(path)]) == 2
    assert f"a.jsonl:{len(recording) - 1}: not a JSON line" in capsys.readouterr().err


def many(tmp_path: Path, wrong: dict[int, tuple[str, str]]) -> Path:
    """A recording of 12 equal sequences, in some of which the first EINVAL is replaced."""
    text = "".join(lines())
    copies = [text.replace('"EINVAL"', wrong[i][0], 1).replace('"vsz"', wrong[i][1], 1) if i in wrong else text for i in range(12)]
    return write(tmp_path / "many.jsonl", copies)


def test_several_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, and divergences in the file's order with its line numbers, are those of one process."""
    monkeypatch.setattr(tally, "_PART", 1)
    length = len(lines())
    path = many(tmp_path, {3: ('"EBUSY"', '"vsz"'), 7: ('"EIO"', '"vsz"'), 11: ('"EBUSY"', '"vsz"')})
    one, three = (tally.replay_files([path], processes=count) for count in (1, 3))
    told = [
        [(d.sequence.line, d.sequence.steps[d.index].line, d.index, d.child, d.differences) for d in found.divergences]
        for found in (one, three)
    ]
    assert told[0] == told[1]
    assert [line for line, *_ in told[0]] == [1 + i * length for i in (3, 7, 11)]
    assert (one.sequences, one.steps) == (three.sequences, three.steps)
    assert one.sequences == 12


def test_several_processes_tell_the_first_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_PART", 1)
    path = many(tmp_path, {5: ('"EINVAL"', '"vsize"'), 9: ('"EINVAL"', '"vsize"')})
    with pytest.raises(VmsimError, match=f":{5 * len(lines()) + 1}: the field 'vsz' is missing"):
        tally.replay_files([path], processes=3)


def test_contents_of_pages() -> None:
    """Page p of the file holds p + 1 up to the file's end; a copy keeps what it was copied from, and a store changes one byte."""
    contents = Contents(file_size=4096 + 100, page_size=4096)
    assert (contents.load(1, 5), contents.load(2, 99), contents.load(2, 100), contents.load(0, 0)) == (1, 2, 0, 0)
    first = contents.next
    contents.store([1, 0], 5, 0x80)
    assert [contents.load(first, at) for at in (5, 6)] == [0x80, 1]
    assert [contents.load(first + 1, at) for at in (5, 6)] == [0x80, 0]


def test_run_lengths() -> None:
    """`<count><char>` repeated, for so many characters exactly."""
    assert runs("3c1.", 4) == "ccc."
    for wrong in ("3c", "c", "3c1", None, "3c1.x"):
        with pytest.raises(ValueError):
            runs(wrong, 4)


def test_a_size_that_cuts_a_page_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Contents are followed by whole pages: another size of the file is told with its line."""
    recording = lines()
    recording[2] = '{"i":0,"op":"ftruncate","fd":"rw","size":100,"ret":0,"minflt":0,"majflt":0,"same":true}\n'
    path = write(tmp_path / "a.jsonl", recording)
    assert main(["conform", str(path)]) == 2
    assert "a.jsonl:3: not a record of this format (a file size of 100" in capsys.readouterr().err
