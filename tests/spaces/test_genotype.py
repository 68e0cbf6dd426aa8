"""Genotypes: immutable mappings, and their JSON."""

import hashlib
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snas_keras
from snas_keras.spaces import _genotype

Genotype = snas_keras.Genotype
CHOICES = {"a": ("conv", "skip"), "b": ("conv", "pool")}
GENOTYPE = Genotype({"a": "conv", "b": "pool"})
# Names may be any text, quotes, line ends and other alphabets included.
_name = st.text(min_size=1, max_size=20)
_choices = st.dictionaries(_name, _name, min_size=1, max_size=8)


@settings(deadline=None)
@given(_choices)
def test_json_round_trip_gives_an_equal_genotype(choices):
    genotype = Genotype(choices)
    again = Genotype.from_json(genotype.to_json())
    assert again == genotype
    assert list(again) == list(genotype)


@settings(deadline=None)
@given(_choices)
def test_order_of_the_choices_does_not_matter(choices):
    backwards = dict(reversed(choices.items()))
    assert Genotype(choices) == Genotype(backwards)
    assert hash(Genotype(choices)) == hash(Genotype(backwards))


@settings(deadline=None)
@given(_choices, _choices)
def test_genotypes_are_equal_exactly_when_their_choices_are(first, second):
    assert (Genotype(first) == Genotype(second)) == (first == second)


def test_a_genotype_is_the_mapping_it_was_made_of():
    assert GENOTYPE == {"a": "conv", "b": "pool"}
    assert GENOTYPE["b"] == "pool"
    assert len(GENOTYPE) == 2
    assert list(GENOTYPE) == ["a", "b"]
    assert Genotype(GENOTYPE) == GENOTYPE


def test_genotypes_work_as_keys_of_a_dict():
    rewards = {GENOTYPE: 0.9}
    assert rewards[Genotype({"b": "pool", "a": "conv"})] == 0.9


def test_a_genotype_cannot_be_changed():
    with pytest.raises(TypeError, match="item assignment"):
        GENOTYPE["a"] = "skip"
    with pytest.raises(TypeError, match="item deletion"):
        del GENOTYPE["a"]


def test_a_later_change_of_the_source_does_not_reach_the_genotype():
    source = {"a": "conv"}
    genotype = Genotype(source)
    source["a"] = "skip"
    assert genotype["a"] == "conv"


def test_a_genotype_survives_pickling():
    assert pickle.loads(pickle.dumps(GENOTYPE)) == GENOTYPE


def test_repr_can_be_evaluated():
    assert eval(repr(GENOTYPE)) == GENOTYPE


def test_json_names_its_format_and_version():
    content = json.loads(GENOTYPE.to_json())
    checksum = content.pop("checksum")
    assert (
        checksum
        == hashlib.sha256(
            json.dumps(content, sort_keys=True).encode()
        ).hexdigest()
    )
    assert content == {
        "format": "snas_keras.genotype",
        "version": 1,
        "choices": {"a": "conv", "b": "pool"},
    }


def test_json_of_the_first_release_is_read():
    """Written out here, so that a later release cannot lose it unnoticed."""
    text = (
        '{"format": "snas_keras.genotype", "version": 1, '
        '"choices": {"normal_0->2": "sep_conv_3x3"}}'
    )
    assert Genotype.from_json(text) == {"normal_0->2": "sep_conv_3x3"}


def test_a_fitting_genotype_passes_the_check():
    assert GENOTYPE.check(CHOICES) is GENOTYPE


def test_an_unknown_choice_is_refused_with_the_known_ones():
    genotype = Genotype({"a": "conv", "b": "pool", "c": "conv"})
    message = r"Unknown choices: \['c'\].*The choices are: \['a', 'b'\]"
    with pytest.raises(ValueError, match=message):
        genotype.check(CHOICES)


def test_a_missing_choice_is_refused_with_the_known_ones():
    message = r"Missing choices: \['b'\].*The choices are: \['a', 'b'\]"
    with pytest.raises(ValueError, match=message):
        Genotype({"a": "conv"}).check(CHOICES)


def test_an_unknown_candidate_is_refused_with_the_known_ones():
    genotype = Genotype({"a": "conv", "b": "skip"})
    message = r"Choice 'b' has no candidate 'skip'.*are: \['conv', 'pool'\]"
    with pytest.raises(ValueError, match=message):
        genotype.check(CHOICES)


def test_an_empty_genotype_is_refused():
    with pytest.raises(ValueError, match="Received: choices={}"):
        Genotype({})


@pytest.mark.parametrize("choices", [{"a": 1}, {2: "conv"}, {"a": None}])
def test_names_that_are_no_text_are_refused(choices):
    with pytest.raises(TypeError, match=r"names \(str\). Received: "):
        Genotype(choices)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_unknown_version_is_refused(version):
    content = {**json.loads(GENOTYPE.to_json()), "version": version}
    message = f"reads genotypes of version 1. Received: version={version!r}"
    with pytest.raises(ValueError, match=message):
        Genotype.from_json(json.dumps(content))


@pytest.mark.parametrize(
    "text", ["[]", '"text"', "3", "{}", '{"format": "onnx", "version": 1}']
)
def test_another_format_is_refused(text):
    message = f'needs "format": {_genotype.FORMAT!r}. Received: '
    with pytest.raises(ValueError, match=message):
        Genotype.from_json(text)


def test_a_line_in_another_place_is_refused():
    """The last choice and the checksum have changed places."""
    content = json.loads(GENOTYPE.to_json())
    content["choices"]["checksum"] = content.pop("checksum")
    content["b"] = content["choices"].pop("b")
    with pytest.raises(ValueError, match="not of its format.*'b'"):
        Genotype.from_json(json.dumps(content))


@pytest.mark.parametrize("choices", [None, [], "a"])
def test_json_without_choices_is_refused(choices):
    content = {**json.loads(GENOTYPE.to_json()), "choices": choices}
    del content["checksum"]
    with pytest.raises(ValueError, match='needs "choices".*choices='):
        Genotype.from_json(json.dumps(content))


@pytest.mark.parametrize("choices", ['{"a": 1}', '{"a": ["b"]}'])
def test_json_with_names_that_are_no_text_is_refused(choices):
    head = '{"format": "snas_keras.genotype", "version": 1, "choices": '
    with pytest.raises(ValueError, match="is not a genotype"):
        snas_keras.Genotype.from_json(head + choices + "}")


def test_json_that_is_too_deep_is_refused():
    with pytest.raises(ValueError, match="is not a genotype"):
        snas_keras.Genotype.from_json("[" * 200_000)


def test_a_file_holds_what_was_saved(tmp_path):
    path = tmp_path / "new" / "genotype.json"
    GENOTYPE.save(path)
    assert Genotype.load(path) == GENOTYPE
    assert Genotype.load(str(path)) == GENOTYPE
    assert path.read_text(encoding="utf-8") == GENOTYPE.to_json()


def test_names_of_other_alphabets_survive_a_file(tmp_path):
    genotype = Genotype({"блок": "свёртка", "層": "conv→3×3"})
    genotype.save(tmp_path / "genotype.json")
    assert Genotype.load(tmp_path / "genotype.json") == genotype


@pytest.mark.parametrize("length", range(0, 80, 16))
def test_a_damaged_file_is_refused_with_its_path(tmp_path, length):
    path = tmp_path / "genotype.json"
    path.write_text(GENOTYPE.to_json()[:length])
    message = "Cannot read .*genotype.json. The text is not a genotype"
    with pytest.raises(ValueError, match=message):
        Genotype.load(path)


def test_a_file_that_is_no_text_is_refused_with_its_path(tmp_path):
    path = tmp_path / "genotype.json"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="Cannot read .*genotype.json"):
        Genotype.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file '.*lost.json'"):
        Genotype.load(tmp_path / "lost.json")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "genotype.json"
    GENOTYPE.save(path)
    other = Genotype({"a": "skip"})
    monkeypatch.setattr(other, "to_json", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        other.save(path)
    assert Genotype.load(path) == GENOTYPE
    assert [p.name for p in tmp_path.iterdir()] == ["genotype.json"]


@pytest.mark.parametrize("choices", ["conv", 3, ["block_0"], "genotype.json"])
def test_what_is_no_mapping_is_refused_with_what_is_one(choices):
    with pytest.raises(TypeError, match="Genotype.load.*Received"):
        snas_keras.Genotype(choices)
