"""JSON with a checksum over its content."""

import hashlib
import json
from typing import Any

KEY = "checksum"


def checksum(content: Any) -> str:
    """Return a checksum of what JSON can hold, whatever the order of its keys.

    Args:
        content: what JSON can hold.

    Returns:
        str of hexadecimal digits.
    """
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content with its checksum under "checksum".

    Args:
        content: dict that JSON can hold, its keys str.

    Returns:
        dict.
    """
    return {**content, KEY: checksum(content)}


def loads(text: str | bytes, prove: bool = True) -> Any:
    """Read JSON, and prove the checksum of an object that has one.

    Files of the first release, and what users wrote by hand, have none.

    Args:
        text: str or bytes in UTF-8.
        prove: bool, default True; without it the checksum is left in.

    Returns:
        What the text holds, without the checksum.

    Raises:
        ValueError: it is no JSON, nested too deeply, or does not agree with
            its checksum.
    """
    try:
        content = json.loads(text, object_pairs_hook=_object)
        return proved(content) if prove else content
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def proved(content: Any) -> Any:
    """Return content without its checksum, or raise ValueError.

    Args:
        content: what JSON has held.
    """
    if not isinstance(content, dict) or KEY not in content:
        return content
    rest = {key: value for key, value in content.items() if key != KEY}
    if content[KEY] != checksum(rest):
        raise ValueError(
            "its content does not agree with its checksum: it is damaged, or "
            f'was edited by hand, for which "{KEY}" is to be removed'
        )
    return rest


def _object(pairs):
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return content
