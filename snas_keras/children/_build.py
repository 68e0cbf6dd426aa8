"""Fixed networks: from a genotype, or out of a trained supernet."""

from collections.abc import Mapping
from typing import Any

import keras

from snas_keras import layers, spaces
from snas_keras._utils import checks
from snas_keras.children import _proof, _recalibration, _rewrite


def build_child(
    space: spaces.SearchSpace, genotype: Mapping[str, str], **options: Any
) -> keras.Model:
    """Build the network of a genotype afresh, for retraining.

    Args:
        space: SearchSpace.
        genotype: Genotype or mapping {choice name: candidate name}.
        **options: options of the space to change, e.g. more filters.

    Returns:
        keras.Model of stock Keras layers (and the user's own). What the program
        makes has new weights; what it brings, such as a pretrained backbone, an
        adapted preprocessing layer or word vectors, keeps them, and its
        trainable flags. Edges that chose `none` are left out. Where the space
        has drop path, the child has `DropPath` layers, which `DropPathSchedule`
        sets and `for_inference` leaves out.

    Raises:
        TypeError: `space` is not a SearchSpace or has no such option.
        ValueError: the genotype does not fit the space.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> child = build_child(space, space.random_genotype(0), filters=8)
    >>> child.output_shape
    (None, 10)
    """
    space = spaces.check_space(space).with_options(**options)
    genotype = spaces.Genotype(genotype).check(space.choices())
    network = spaces.as_network(space, genotype)
    return _rewrite.Rewrite(network, genotype, kept=(layers.DropPath,)).run()


def convert(
    supernet: Any,
    genotype: Mapping[str, str] | None = None,
    verify: bool = True,
) -> keras.Model:
    """Turn a trained supernet into the fixed network of one genotype.

    Every mixed edge becomes its chosen candidate and all weights are
    inherited: the child gives the supernet's outputs under the genotype.
    No search space is needed, so it works on a loaded file.

    Args:
        supernet: SuperNet.
        genotype: Genotype or mapping {choice name: candidate name}, default
            `supernet.derive()`.
        verify: bool, whether to compare child and supernet on a random batch
            before the child is returned, default True.

    Returns:
        keras.Model of stock Keras layers (and the user's own). Edges that chose
        `none` are left out.

    Raises:
        TypeError: `supernet` is no SuperNet.
        ValueError: the genotype does not fit the supernet, a layer cannot be
            rebuilt, or the outputs differ.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> supernet = snas_keras.build_supernet(space)
    >>> x = np.ones((2, 8, 8, 1), "float32")
    >>> np.array_equal(convert(supernet)(x), supernet(x))
    True
    """
    checks.check_supernet(supernet)
    if genotype is None:
        genotype = supernet.derive()
    choices = supernet.architecture.choices
    genotype = spaces.Genotype(genotype).check(choices)
    child = _rewrite.Rewrite(supernet.network, genotype).run()
    if verify:
        _proof.prove(supernet, genotype, child)
    return child


def for_inference(model: keras.Model, output: str | None = None) -> keras.Model:
    """Return a trained network without what only its training needs.

    Drop path is left out, and with `output` all that leads to other outputs,
    such as the auxiliary classifier. Outside training the numbers are the same.

    Args:
        model: functional keras.Model, as `build_child` gives it.
        output: str, the output to keep, where the model has a dict of them.
            Default None: all.

    Returns:
        keras.Model of stock Keras layers (and the user's own), with the weights
        of `model`.

    Raises:
        ValueError: there is no such output.

    Example:

    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> child = build_child(space, space.random_genotype(0))
    >>> x = np.ones((2, 8, 8, 1), "float32")
    >>> np.array_equal(for_inference(child)(x), child(x))
    True
    """
    outputs = model.output
    if output is not None:
        if not isinstance(outputs, dict) or output not in outputs:
            raise ValueError(
                f"The model has no such output. Received: output={output!r}. "
                f"Its outputs are: {outputs}"
            )
        outputs = outputs[output]
    part = keras.Model(model.input, outputs, name=model.name)
    return _rewrite.Rewrite(part, {}, left_out=(layers.DropPath,)).run()


def inherited_child(
    supernet: Any,
    genotype: Mapping[str, str] | None = None,
    train_data: Any = None,
    steps: int | None = None,
) -> keras.Model:
    """Convert, compile as the supernet is, and recalibrate batch norm.

    The child can be evaluated at once: it has the supernet's weights.

    Args:
        supernet: SuperNet, compiled.
        genotype: as for `convert`.
        train_data: as for `recalibrate_batch_norm`; default None: no
            recalibration.
        steps: int, as for `recalibrate_batch_norm`.

    Returns:
        keras.Model, compiled with the supernet's loss and metrics.
    """
    child = convert(supernet, genotype, verify=False)
    child.compile(**supernet.compile_arguments.for_child())
    if train_data is not None:
        _recalibration.recalibrate_batch_norm(child, train_data, steps)
    return child
