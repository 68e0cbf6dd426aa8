"""Search spaces and supernets for Keras Tuner (extra `tuner`)."""

try:
    import keras_tuner  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "snas_keras.tuner needs Keras Tuner. Install the extra: pip install "
        "'snas-keras[tuner]'"
    ) from error

from snas_keras.tuner._architecture_oracle import ArchitectureOracle
from snas_keras.tuner._evolution_oracle import RegularizedEvolutionOracle
from snas_keras.tuner._hypermodel import SearchSpaceHyperModel
from snas_keras.tuner._oracle import ChoicesOracle
from snas_keras.tuner._supernet_tuner import SuperNetTuner, pareto_report

# To add an oracle, write one file and one line here.
ORACLES = {
    "architecture": ArchitectureOracle,
    "evolution": RegularizedEvolutionOracle,
}

__all__ = [
    "ORACLES",
    "ArchitectureOracle",
    "ChoicesOracle",
    "RegularizedEvolutionOracle",
    "SearchSpaceHyperModel",
    "SuperNetTuner",
    "pareto_report",
]
