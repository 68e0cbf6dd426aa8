"""Damaged and crafted files: seeded mutations of bytes and of JSON."""

import json
import random

# What stands in place of a value: other kinds, other sizes.
STRANGE = [
    *(None, True, -1, 0, 10**400, 1e308, "", "none", "\u0000", "\ud800"),
    *([], {}, [[]], {"": None}, [0] * 50, {"a": {"b": {"c": []}}}),
]
DEEP = "[" * 100_000 + "]" * 100_000


def damaged(content, number, seed=0):
    """Yield (label, bytes): a file's content, damaged in `number` ways.

    Args:
        content: bytes of a whole file.
        number: int.
        seed: int.
    """
    generator = random.Random(seed)
    ways = [_truncated, _flipped, _cut, _doubled, _written_over, _exchanged]
    if _is_json(content):
        # The content is proved by its checksum, so most leave it out.
        ways += [_restructured] * 8
    yield from (("empty", b""), ("deep", DEEP.encode()), ("noise", NOISE))
    for _ in range(number):
        way = generator.choice(ways)
        yield way.__name__, way(content, generator)


NOISE = random.Random(1).randbytes(500)


def _truncated(content, generator):
    return content[: generator.randrange(len(content))]


def _flipped(content, generator):
    place = generator.randrange(len(content))
    changed = bytearray(content)
    changed[place] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _span(content, generator):
    start = generator.randrange(len(content))
    return start, min(len(content), start + generator.randint(1, 40))


def _cut(content, generator):
    start, end = _span(content, generator)
    return content[:start] + content[end:]


def _doubled(content, generator):
    start, end = _span(content, generator)
    return content[:end] + content[start:]


def _written_over(content, generator):
    start, end = _span(content, generator)
    return content[:start] + generator.randbytes(end - start) + content[end:]


def _exchanged(content, generator):
    lines = content.splitlines(keepends=True)
    one, other = (generator.randrange(len(lines)) for _ in range(2))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _is_json(content):
    try:
        return [json.loads(x) for x in _documents(content)] != []
    except ValueError:
        return False


def _documents(content):
    """Return the JSON texts of a file: one, or one a line."""
    try:
        json.loads(content)
    except ValueError:
        return content.splitlines()
    return [content]


def _restructured(content, generator):
    """Change, remove or rename one value of one document."""
    documents = [json.loads(x) for x in _documents(content)]
    document = generator.choice(documents)
    if isinstance(document, dict) and generator.random() < 0.8:
        document.pop("checksum", None)
    holders = list(_holders(document))
    holder = generator.choice(holders)
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    key = generator.choice(list(keys))
    change = generator.choice(["replace", "replace", "remove", "rename"])
    if change == "replace":
        holder[key] = generator.choice(STRANGE)
    elif change == "remove":
        del holder[key]
    elif isinstance(holder, dict):
        holder[generator.choice(["", "x", "\ud800"])] = holder.pop(key)
    else:
        holder.append(holder[key])
    return "\n".join(json.dumps(x) for x in documents).encode()


def _holders(value):
    """Yield all dicts and lists that hold something."""
    if isinstance(value, dict | list) and value:
        yield value
        parts = value.values() if isinstance(value, dict) else value
        for part in parts:
            yield from _holders(part)
