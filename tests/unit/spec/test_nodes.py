"""The YAML reader: places, limits, and PyYAML as the oracle for what is read."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from vmsim.errors import SpecError
from vmsim.spec.nodes import MAX_DEPTH, compose, find, from_data, to_data

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
documents = st.dictionaries(
    words,
    st.recursive(
        st.one_of(words, st.integers(-(10**20), 10**20), st.booleans(), st.none()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)


@given(documents, st.booleans())
@example({"<<": []}, False)
@example({"<<": {"a": 1}, "b": 2}, True)
def test_reads_what_pyyaml_writes(data: object, flow: bool) -> None:
    text = yaml.safe_dump(data, allow_unicode=True, default_flow_style=flow)
    assert to_data(compose(text, "f.yaml")) == data


def test_every_value_knows_its_place() -> None:
    root = compose("a: 1\nb:\n  - x\n  - c:\n      d: 5\n  -\n    e\n", "f.yaml")
    places = {path: find(root, path) for path in [("a",), ("b",), ("b", 0), ("b", 1, "c", "d"), ("b", 2)]}
    assert {path: (node.line, node.key) for path, node in places.items()} == {
        ("a",): (1, "a"),
        ("b",): (2, "b"),
        ("b", 0): (3, "b[0]"),
        ("b", 1, "c", "d"): (5, "b[1].c.d"),
        ("b", 2): (7, "b[2]"),
    }


def test_scalars_follow_yaml_1_2() -> None:
    root = compose("[on, yes, 1:30, 007, 1_000, 0x10, 0o17, 1.50, ~, true, '5', 2015-11-05]", "f")
    expected = ["on", "yes", "1:30", "007", 1000, 16, 15, "1.50", None, True, "5", "2015-11-05"]
    assert to_data(root) == expected


def test_merge_keys_and_aliases() -> None:
    root = compose("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: *x\nd: {<<: [*x, {p: 9, r: 4}]}", "f")
    assert to_data(root) == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 3},
        "c": {"p": 1, "q": 2},
        "d": {"p": 1, "q": 2, "r": 4},
    }


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the file is empty"),
        ("# nothing\n", 1, "the file is empty"),
        ("a: 1\nb: 2\na: 3", 3, "the key is given twice (first on line 1)"),
        ("a: 1\nb: {c: 1,\n c: 3}", 3, "the key is given twice (first on line 2)"),
        ("a: [1\nb: 2", 2, "not YAML"),
        ("a: 'x", 1, "not YAML"),
        ("a: 1\n\tb: 2", 2, "not YAML"),
        ("a: 1\n--- \nb: 1", 2, "a second document"),
        ("a: 1\nb: *x", 2, "there is no anchor &x"),
        ("a: &x [*x]", 1, "*x stands inside itself"),
        ("a: 1\n[b]: 1", 2, "a key is plain text"),
        ("a: 1\nb: !!python/object/apply:os.system [x]", 2, "tags such as"),
        ("a: 1\nb: !!python/name:os.system x", 2, "tags such as"),
        ("a: {<<: 3}", 1, "<< takes a mapping"),
        ("a: \x07", 1, "not YAML"),
        ("%YAML 9.9\n---\na: 1", 1, "not YAML"),
        ("a: " + "[" * 100, 1, f"at most {MAX_DEPTH} deep"),
    ],
)
def test_what_it_refuses(text: str, line: int, message: str) -> None:
    with pytest.raises(SpecError) as error:
        compose(text, "f.yaml")
    assert any(problem.line == line and message in problem.message for problem in error.value.problems), str(
        error.value
    )


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    with pytest.raises(SpecError, match="aliases and constants expanded"):
        compose("\n".join(lines), "f.yaml")


def test_very_deep_data_is_refused() -> None:
    data: object = 1
    for _ in range(5000):
        data = [data]
    with pytest.raises(SpecError, match="deep"):
        from_data(data, "f", 0, "")


@given(st.binary(max_size=80))
def test_any_text_is_read_or_refused(junk: bytes) -> None:
    try:
        compose(junk.decode("utf-8", "replace"), "f.yaml")
    except SpecError as error:
        assert error.problems
