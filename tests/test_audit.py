"""Shops of the audit that once ended wrong or were refused; all of them: ``python tests/benchmarks/audit.py``."""

import pytest
from benchmarks.audit import audit


@pytest.mark.parametrize(
    ("model", "shop"),
    [
        ("MBG/NBD", 20),  # two mountains: who never came back left at once, or buys seldom
        ("MBG/NBD", 3),  # a and b at the end of their range, along a ridge
        ("BG/NBD", 36),
        ("CNBD-k", 137),
    ],
)
def test_a_hard_shop_is_fitted_as_well_as_other_optimisers_do(model, shop):
    found = audit(model, shop)
    assert found["verdict"] in {"accepted", "with a note"}, found["why"]
