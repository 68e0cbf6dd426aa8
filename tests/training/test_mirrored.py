"""Two replicas on a global batch do what one device does on that batch."""

import numpy as np
import pytest

from tests.processes import ROOT, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    output = tmp_path_factory.mktemp("mirrored") / "out.npz"
    script = ROOT / "tests" / "scripts" / "mirrored_search.py"
    done = run(script, output)
    with np.load(output) as loaded:
        return {**loaded, "stdout": done.stdout}


def test_weights_and_logits_are_those_of_one_device(arrays):
    """Without the division by the replicas the penalty's gradient is twice as
    large: with a weight of 5 and a rate of 1 the logits differ by tenths."""
    names = [n for n in arrays if n.startswith("one_")]
    assert len(names) > 10
    for name in names:
        other = arrays[name.replace("one", "two")]
        np.testing.assert_allclose(other, arrays[name], atol=1e-5)


def test_what_keras_cannot_do_is_refused_by_name(arrays):
    for option in (
        *("steps_per_execution", "jit_compile"),
        "gradient_accumulation_steps",
    ):
        assert f"refused {option} True" in arrays["stdout"]
