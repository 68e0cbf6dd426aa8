"""Two replicas against one device."""

import numpy as np
import pytest

from tests.processes import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    output = tmp_path_factory.mktemp("mirrored") / "result.npz"
    done = run("-m", "tests.scripts.mirrored_search", output)
    return done.stdout, dict(np.load(output))


@pytest.mark.slow
def test_two_replicas_equal_one_device_on_the_global_batch(finished):
    """Weights and logits after three steps, float32 sums in another order."""
    _, arrays = finished
    one = {k[4:]: v for k, v in arrays.items() if k.startswith("one_")}
    assert len(one) > 8
    for name, value in one.items():
        np.testing.assert_allclose(arrays[f"two_{name}"], value, atol=1e-5)
    assert arrays["two_step"] == 3


@pytest.mark.slow
def test_what_keras_cannot_do_on_replicas_is_refused(finished):
    output, _ = finished
    refused = [x for x in output.splitlines() if x.startswith("refused")]
    assert refused == [
        "refused steps_per_execution True",
        "refused jit_compile True",
        "refused gradient_accumulation_steps True",
    ]
