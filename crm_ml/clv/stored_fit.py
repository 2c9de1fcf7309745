"""A fit as it is kept: estimates, their covariance and the evidence, without any customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crm_ml.clv.likelihood.newton import FitResult
from crm_ml.errors import ModelError

__all__ = ["StoredFit"]


@dataclass(frozen=True)
class StoredFit:
    """The part of a fit that predictions, intervals and reports need."""

    params: dict[str, float]
    standard_errors: dict[str, float]
    log_likelihood: float
    log_covariance: NDArray[np.float64]
    diagnostics: dict[str, Any]

    @classmethod
    def of(cls, fit: FitResult, *, notes: Sequence[str]) -> StoredFit:
        """Keep what matters of a maximised likelihood."""
        return cls(
            params=dict(fit.params),
            standard_errors=dict(fit.standard_errors),
            log_likelihood=fit.log_likelihood,
            log_covariance=fit.log_covariance,
            diagnostics={
                "converged": fit.converged,
                "at_boundary": list(fit.at_boundary),
                "flat_ridge": fit.flat_ridge,
                "gradient_norm": fit.gradient_norm,
                "n_evaluations": fit.n_evaluations,
                "notes": list(notes),
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fit ready for JSON; an infinite standard error or a missing likelihood becomes None."""
        return {
            "params": dict(self.params),
            "standard_errors": {n: v if np.isfinite(v) else None for n, v in self.standard_errors.items()},
            "log_likelihood": self.log_likelihood if np.isfinite(self.log_likelihood) else None,
            "log_covariance": self.log_covariance.tolist(),
            "diagnostics": dict(self.diagnostics),
        }

    @classmethod
    def from_dict(
        cls, stored: Mapping[str, Any], *, model: str, names: Sequence[str], signed: Sequence[str] = ()
    ) -> StoredFit:
        """Restore from `to_dict`; the parameters in ``names`` must be positive, those in ``signed`` need not.

        Raises
        ------
        ModelError
            If parts are missing, of another model, or not numbers.
        """
        if stored.get("model") != model:
            raise ModelError(
                f"A stored {model} must say so; this one says {stored.get('model')!r}.\n"
                "Load it with the class that stored it."
            )
        everything = [*names, *signed]
        try:
            fit = cls(
                params={name: float(stored["params"][name]) for name in everything},
                standard_errors={name: _number(stored["standard_errors"][name], missing=np.inf) for name in everything},
                log_likelihood=_number(stored["log_likelihood"], missing=np.nan),
                log_covariance=np.array(stored["log_covariance"], dtype=float),
                diagnostics=dict(stored["diagnostics"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"A stored {model} must hold its estimates; reading them: {error!r}.\nStore the model again."
            ) from error
        values, n = np.array(list(fit.params.values())), len(everything)
        sound = np.isfinite(values) & ((values > 0) | (np.arange(n) >= len(names)))
        if fit.log_covariance.shape != (n, n) or not sound.all():
            raise ModelError(
                f"A stored {model} must hold positive parameters {list(names)} and their covariance.\n"
                "Store the model again."
            )
        return fit


def _number(stored: Any, *, missing: float) -> float:
    return missing if stored is None else float(stored)
