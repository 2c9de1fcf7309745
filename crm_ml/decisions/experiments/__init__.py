"""Experiments: how many customers they need, who is in which arm, and what each arm changed."""

from crm_ml.decisions.experiments.design import ExperimentDesign, design_experiment
from crm_ml.decisions.experiments.outcomes import experiment_outcomes
from crm_ml.decisions.experiments.planning import Baseline, experiment_power, minimum_detectable_effect, sample_size
from crm_ml.decisions.experiments.reading import ExperimentReading, Measured, read_experiment
from crm_ml.decisions.experiments.shares import SampleRatio, sample_ratio

__all__ = [
    "Baseline",
    "ExperimentDesign",
    "ExperimentReading",
    "Measured",
    "SampleRatio",
    "design_experiment",
    "experiment_outcomes",
    "experiment_power",
    "minimum_detectable_effect",
    "read_experiment",
    "sample_ratio",
    "sample_size",
]
