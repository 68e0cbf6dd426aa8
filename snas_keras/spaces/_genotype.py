"""A genotype: which candidate every choice of a search space takes."""

import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping

from snas_keras._utils import files, sealed

FORMAT = "snas_keras.genotype"
VERSION = 1


class Genotype(Mapping[str, str]):
    """An immutable mapping from choice names to candidate names.

    It is what a search ends with, and all that is needed to build the child
    network again, at any size its search space offers.

    Args:
        choices: mapping of str to str, {choice name: candidate name}; must not
            be empty.

    Raises:
        TypeError: `choices` is no mapping, or a name not a str.
        ValueError: `choices` is empty.

    Example:

    >>> genotype = Genotype({"block_0": "conv", "block_1": "skip"})
    >>> genotype["block_0"]
    'conv'
    >>> genotype == Genotype.from_json(genotype.to_json())
    True
    """

    def __init__(self, choices: Mapping[str, str]):
        choices = _as_dict(choices)
        if not choices:
            raise ValueError(
                "A genotype needs at least one choice. Received: choices={}"
            )
        for name, candidate in choices.items():
            if not isinstance(name, str) or not isinstance(candidate, str):
                raise TypeError(
                    "A genotype maps choice names (str) to candidate names "
                    f"(str). Received: {name!r}: {candidate!r}"
                )
        self._choices = choices

    def __getitem__(self, name: str) -> str:
        return self._choices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def __hash__(self) -> int:
        return hash(frozenset(self._choices.items()))

    def __repr__(self) -> str:
        return f"Genotype({self._choices})"

    def check(self, choices: Mapping[str, Iterable[str]]) -> "Genotype":
        """Return this genotype if it fits a search space, or refuse it.

        Args:
            choices: {choice name: candidate names}, as `SearchSpace.choices()`
                gives them.

        Returns:
            The genotype itself.

        Raises:
            ValueError: a choice is missing or unknown, or a candidate is
                unknown; the message lists what is allowed.
        """
        unknown = sorted(set(self) - set(choices))
        missing = sorted(set(choices) - set(self))
        if unknown or missing:
            raise ValueError(
                "The genotype does not fit the search space. Unknown choices: "
                f"{unknown}. Missing choices: {missing}. The choices are: "
                f"{sorted(choices)}"
            )
        for name, candidate in self.items():
            if candidate not in choices[name]:
                raise ValueError(
                    f"Choice {name!r} has no candidate {candidate!r}. Its "
                    f"candidates are: {list(choices[name])}"
                )
        return self

    def to_json(self) -> str:
        """Return the genotype as JSON text with its format and version."""
        content = {"format": FORMAT, "version": VERSION, "choices": dict(self)}
        return json.dumps(sealed.seal(content), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Genotype":
        """Read what `to_json` wrote.

        Args:
            text: str, the JSON text.

        Returns:
            The genotype.

        Raises:
            ValueError: the text is no JSON, another format, written by a
                version that is not known here, or has a name that is no text.
        """
        try:
            content = sealed.loads(text, prove=False)
        except ValueError as error:
            raise ValueError(f"The text is not a genotype: {error}.") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(
                f'The text is not a genotype: it needs "format": {FORMAT!r}. '
                f"Received: {text[:80]!r}"
            )
        if content.get("version") != VERSION:
            raise ValueError(
                f"This release reads genotypes of version {VERSION}. "
                f"Received: version={content.get('version')!r}"
            )
        try:
            content = sealed.proved(content)
        except ValueError as error:
            raise ValueError(f"The genotype is damaged: {error}.") from error
        if set(content) - {"format", "version", "choices"}:
            raise ValueError(
                "The genotype is damaged: it has keys that are not of its "
                f"format. Received: {sorted(content)}"
            )
        if not isinstance(content.get("choices"), dict):
            raise ValueError(
                'A genotype needs "choices": {choice: candidate}. '
                f"Received: choices={content.get('choices')!r}"
            )
        try:
            return cls(content["choices"])
        except TypeError as error:
            raise ValueError(f"The text is not a genotype: {error}") from error

    def save(self, path: str | pathlib.Path) -> None:
        """Write the genotype as a JSON file, whole or not at all.

        Args:
            path: path of the file; one that is there is replaced.
        """
        with files.replacing(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "Genotype":
        """Read a genotype that `save` wrote.

        Args:
            path: path of the JSON file.

        Returns:
            The genotype.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or of another format.
        """
        path = files.existing(path)
        try:
            # Bytes that are no text are a ValueError too.
            return cls.from_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"Cannot read {path}. {error}") from error


def _as_dict(choices):
    try:
        return dict(choices)
    except (TypeError, ValueError):
        raise TypeError(
            "A genotype maps choice names to candidate names, such as "
            "{'block_0': 'conv'}; a file of one is read by Genotype.load(path)."
            f" Received: {choices!r}"
        ) from None
