"""Published cells and their textual formats."""

import ast
import re
from collections.abc import Mapping

from snas_keras.spaces import _cell, _genotype, _published_cells
from snas_keras.spaces.zoo import _nasbench201

NODES = range(2, 6)
EDGES = [(source, node) for node in NODES for source in range(node)]
CELLS = ("normal", "reduce")
_FIELDS = {f"{cell}{part}" for cell in CELLS for part in ("", "_concat")}
NASBENCH201_EDGES = [(i, node) for node in range(1, 4) for i in range(node)]

# DARTS has no batch norm behind the poolings of its final networks.
DARTS_OPERATIONS = {
    name: f"plain_{name}" if "pool" in name else name
    for name in _cell.CELL_OPERATIONS
}


def from_text(text: str) -> _genotype.Genotype:
    """Read a genotype as the code of SNAS and DARTS writes it.

        Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6),
                 reduce=[...], reduce_concat=range(2, 6))

    A pair is an operation and the state it reads. A cell has 14 pairs, all the
    edges, or 8, two edges for each node; then the other edges take `none`. The
    pairs of one node may stand in any order. Nothing is executed.

    Args:
        text: str, with or without "name = " before it.

    Returns:
        Genotype of the space "snas_cifar".

    Raises:
        ValueError: the text is something else, or a cell the space lacks: an
            unknown operation, two edges from one state, an output that does
            not join nodes 2 to 5.

    Example:

    >>> text = to_text(GENOTYPES["darts_v2"], pairs_per_node=2)
    >>> from_text(text) == GENOTYPES["darts_v2"]
    True

    Reference:
        Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019,
        https://arxiv.org/abs/1806.09055.
    """
    fields = _fields(text)
    choices = {}
    for cell in CELLS:
        joined = fields[f"{cell}_concat"]
        if not _is_nodes(joined):
            raise ValueError(
                f"The output of a cell must join nodes {list(NODES)}. "
                f"Received: {cell}_concat={joined}"
            )
        choices.update(_cell_choices(cell, fields[cell]))
    return _genotype.Genotype(choices)


def to_text(
    genotype: Mapping[str, str], pairs_per_node: int | None = None
) -> str:
    """Write a genotype as the code of SNAS and DARTS reads it.

    Args:
        genotype: Genotype of the space "snas_cifar".
        pairs_per_node: None for all 14 edges of a cell, or 2 for the form of
            DARTS, which has room for two live edges at every node.

    Returns:
        str that `from_text` reads.

    Raises:
        ValueError: the genotype is of another space, or has too many live
            edges at a node.
    """
    _genotype.Genotype(genotype).check(_choices())
    if pairs_per_node not in (None, 2):
        raise ValueError(
            "`pairs_per_node` must be None or 2. Received: "
            f"pairs_per_node={pairs_per_node!r}"
        )
    parts = []
    for cell in CELLS:
        pairs = [
            pair
            for node in NODES
            for pair in _pairs(genotype, cell, node, pairs_per_node)
        ]
        nodes = f"range({NODES.start}, {NODES.stop})"
        parts.append(f"{cell}={pairs}, {cell}_concat={nodes}")
    return f"Genotype({', '.join(parts)})"


def from_nasbench201(text: str) -> _genotype.Genotype:
    """Read an architecture string of NAS-Bench-201.

        |op~0|+|op~0|op~1|+|op~0|op~1|op~2|

    Args:
        text: str; "op~1" in the second group is the edge from state 1 to node
            2.

    Returns:
        Genotype of the space "nasbench201".

    Raises:
        ValueError: the text is no such string.

    Example:

    >>> text = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    >>> from_nasbench201(text)["0->3"]
    'skip_connect'

    Reference:
        Dong, Yang, "NAS-Bench-201", 2020, https://arxiv.org/abs/2001.00326.
    """
    operations = list(_nasbench201.NASBENCH201_OPERATIONS)
    operation = f"({'|'.join(operations)})"
    groups = [
        "".join(f"{operation}~{i}[|]" for i in range(node))
        for node in range(1, 4)
    ]
    match = re.fullmatch("[+]".join(f"[|]{group}" for group in groups), text)
    if not match:
        raise ValueError(
            "An architecture of NAS-Bench-201 reads "
            "|op~0|+|op~0|op~1|+|op~0|op~1|op~2| with the operations "
            f"{operations}. Received: {text!r}"
        )
    pairs = zip(NASBENCH201_EDGES, match.groups(), strict=True)
    return _genotype.Genotype(
        {f"{source}->{node}": found for (source, node), found in pairs}
    )


def to_nasbench201(genotype: Mapping[str, str]) -> str:
    """Write a genotype as an architecture string of NAS-Bench-201.

    Args:
        genotype: Genotype of the space "nasbench201".

    Returns:
        str that `from_nasbench201` reads.

    Raises:
        ValueError: the genotype is of another space.
    """
    operations = list(_nasbench201.NASBENCH201_OPERATIONS)
    _genotype.Genotype(genotype).check(
        {f"{source}->{node}": operations for source, node in NASBENCH201_EDGES}
    )
    groups = [
        "".join(f"{genotype[f'{i}->{node}']}~{i}|" for i in range(node))
        for node in range(1, 4)
    ]
    return "+".join(f"|{group}" for group in groups)


def _choices():
    operations = _cell.CELL_OPERATIONS
    return {_name(cell, *edge): operations for cell in CELLS for edge in EDGES}


def _name(cell, source, node):
    return f"{cell}_{source}->{node}"


def _pairs(genotype, cell, node, count):
    pairs = [(genotype[_name(cell, i, node)], i) for i in range(node)]
    if count is None:
        return pairs
    live = [pair for pair in pairs if pair[0] != "none"]
    if len(live) > count:
        raise ValueError(
            f"Node {node} of the {cell} cell has {len(live)} live edges. "
            f"Allowed: {count}"
        )
    dead = [pair for pair in pairs if pair[0] == "none"]
    return (live + dead)[:count]


# What reading a text that is something else may raise; too deep a one ends the
# parser's memory or the recursion.
_NO_GENOTYPE = (
    *(AttributeError, MemoryError, OverflowError, RecursionError),
    *(SyntaxError, TypeError, ValueError),
)


def _fields(text):
    """Read the keywords of the call `Genotype(...)` without running it."""
    try:
        [statement] = ast.parse(text.strip()).body
        call = statement.value
        fields = {k.arg: _literal(k.value) for k in call.keywords}
        if call.func.id != "Genotype" or call.args or set(fields) != _FIELDS:
            raise ValueError(f"The fields are {sorted(_FIELDS)}.")
    except _NO_GENOTYPE as error:
        raise ValueError(
            "A genotype reads Genotype(normal=[(operation, state), ...], "
            "normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, "
            f"6)). Received: {text[:200]!r}"
        ) from error
    return fields


def _literal(node):
    if isinstance(node, ast.Call) and node.func.id == "range":
        return range(*(ast.literal_eval(argument) for argument in node.args))
    return ast.literal_eval(node)


def _is_nodes(joined):
    """Compare without making a list: a range may be of any length."""
    if isinstance(joined, range):
        return joined == NODES
    return isinstance(joined, (list, tuple)) and list(joined) == list(NODES)


def _are_pairs(pairs):
    return isinstance(pairs, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs
    )


def _cell_choices(cell, pairs):
    """Return {choice name: operation} of all 14 edges of one cell."""
    if not _are_pairs(pairs):
        raise ValueError(
            "A cell is a list of pairs (operation, state). Received: "
            f"{cell}={str(pairs)[:200]}"
        )
    if len(pairs) == len(EDGES):
        nodes = [node for _, node in EDGES]
    elif len(pairs) == 2 * len(NODES):
        nodes = [node for node in NODES for _ in range(2)]
    else:
        raise ValueError(
            f"A cell has {len(EDGES)} pairs, or {2 * len(NODES)}. Received: "
            f"{len(pairs)} in the {cell} cell"
        )
    choices = {}
    for node, (operation, source) in zip(nodes, pairs, strict=True):
        name = _name(cell, source, node)
        if operation not in _cell.CELL_OPERATIONS:
            raise ValueError(
                f"There is no such operation. Received: {operation!r} on edge "
                f"{name!r}. Allowed: {_cell.CELL_OPERATIONS}"
            )
        if (source, node) not in EDGES or name in choices:
            raise ValueError(
                f"Node {node} of the {cell} cell has at most one edge from "
                f"each earlier state. Received: {operation!r} from {source!r}"
            )
        choices[name] = operation
    cut = {_name(cell, *edge): "none" for edge in EDGES}
    return {**cut, **choices}


GENOTYPES = {
    name: _genotype.Genotype(
        {
            _name(cell, *edge): cells[cell].get("{}->{}".format(*edge), "none")
            for cell in CELLS
            for edge in EDGES
        }
    )
    for name, cells in _published_cells.LIVE.items()
}
