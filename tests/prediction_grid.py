"""Truth for test_prediction_grid.py by mpmath; as a script it writes prediction_grid.csv, in a minute or two.

Expected purchases are equation 10 of Fader, Hardie and Lee (2005) after Euler's transformation, with 90 and with
120 digits, which must agree to 20. Discounted ones are the integral over s of exp(-delta s) times the rate of
purchases, (r + x) / (alpha + T) × 2F1(r + x + 1, a; a + b + x; -s / (alpha + T)), after Pfaff's transformation.
"""

import csv
import itertools
from pathlib import Path

import mpmath as mp

CSV = Path(__file__).with_name("prediction_grid.csv")
PARAMETERS = [  # r, alpha, a, b
    (0.243, 4.414, 0.793, 2.426),
    (0.25, 4.4, 0.3, 0.4),
    (0.25, 4.4, 0.5, 0.5),
    (0.25, 4.4, 1.0, 2.4),
    (0.25, 4.4, 1.0 + 1e-9, 2.4),
    (0.02, 0.5, 1.7, 0.01),
    (3.0, 50.0, 0.05, 0.2),
    (4.0, 0.2, 0.5, 40.0),
    (12.0, 200.0, 2.0, 8.0),
    (1.0, 1e-3, 0.01, 0.99),
    (0.6, 15.0, 30.0, 0.4),
    (2.0, 7.0, 100.0, 1000.0),
]
COUNTS = [0, 1, 2, 10, 60, 300, 2000]
LENGTHS = [1.0, 30.0, 365.0, 3650.0]
HORIZONS = [1e-6, 1e-3, 0.1, 1.0, 10.0, 365.0, 1e4, 1e5]
RECENT = {0: 0.0, 1: 0.5, 2: 1.0, 10: 0.93, 60: 0.97, 300: 0.99, 2000: 0.999}  # t_x / T

DISCOUNTED = list(
    itertools.product(
        [PARAMETERS[0], PARAMETERS[2], PARAMETERS[6], PARAMETERS[8], PARAMETERS[10]],
        [0, 2, 60],
        [1.0, 365.0],
        [(12.0, 0.008), (365.0, 2.6e-4), (520.0, 0.0133), (1e4, 0.01), (0.1, 1e-6)],  # horizon, discount rate
    )
)


def alive(x, t_x, T, r, alpha, a, b, *, modified=0):
    """Return the probability of being alive."""
    stayed = x + modified
    if stayed == 0:
        return mp.mpf(1)
    return 1 / (1 + a / (b + stayed - 1) * ((alpha + T) / (alpha + t_x)) ** (r + x))


def while_alive(t, x, T, r, alpha, a, b):
    """Return the expected purchases of an alive customer within ``t``, off its removable singularities."""
    t, x, T, r, alpha, a, b = map(mp.mpf, (t, x, T, r, alpha, a, b))
    tiny = mp.mpf(10) ** (-mp.mp.dps // 2)
    a = a + tiny if abs(a - 1) < tiny else a
    b = b + 3 * tiny if abs(a + b - 1) < 4 * tiny else b
    c, z = a + b + x - 1, t / (alpha + T + t)
    share = mp.hyp2f1(a + b - 1 - r, a - 1, c, z, maxterms=10**7) * (1 - z) ** (a - 1)
    return c / (a - 1) * (1 - share)


def expected(t, x, t_x, T, *params):
    """Return the expected purchases, certain to 20 digits at least."""
    values = []
    for digits in (90, 120):
        with mp.workdps(digits):
            numbers = [mp.mpf(value) for value in (x, t_x, T, *params)]
            values.append(while_alive(t, x, T, *params) * alive(*numbers))
    if abs(values[0] - values[1]) > mp.mpf(10) ** -20 * abs(values[1]):
        raise ArithmeticError(f"{t, x, t_x, T, params}: {values}")
    return values[1]


def discounted(t, delta, x, t_x, T, *params):
    """Return the discounted expected purchases by quadrature."""
    with mp.workdps(30):
        x, t_x, T, r, alpha, a, b = map(mp.mpf, (x, t_x, T, *params))
        shape, scale = r + x, alpha + T

        def pace(v):  # s = scale × (e^v - 1)
            flow = mp.hyp2f1(a + b - 1 - r, a, a + b + x, -mp.expm1(-v), maxterms=10**6)
            return shape * flow * mp.exp((1 - a) * v - delta * scale * mp.expm1(v))

        end = mp.log1p(min(mp.mpf(t), 80 / mp.mpf(delta)) / scale)
        value, error = mp.quad(pace, mp.linspace(0, end, 5), error=True)
        if error > mp.mpf(10) ** -15 * value:
            raise ArithmeticError(f"{t, delta, x, T, params}: {value} within {error}")
        return value * alive(x, t_x, T, r, alpha, a, b)


def grid():
    """Yield t, x, t_x, T and the parameters."""
    for params, x, T, t in itertools.product(PARAMETERS, COUNTS, LENGTHS, HORIZONS):
        yield t, x, RECENT[x] * T, T, *params


def discounted_grid():
    """Yield t, discount rate, x, t_x, T and the parameters."""
    for params, x, T, (t, delta) in DISCOUNTED:
        yield t, delta, x, RECENT[x] * T, T, *params


def main():
    """Write the table."""
    with CSV.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["t", "discount_rate", "x", "t_x", "T", "r", "alpha", "a", "b", "expected"])
        for t, *rest in grid():
            table.writerow([t, 0.0, *rest, mp.nstr(expected(t, *rest), 20)])
        for point in discounted_grid():
            table.writerow([*point, mp.nstr(discounted(*point), 20)])


if __name__ == "__main__":
    main()
