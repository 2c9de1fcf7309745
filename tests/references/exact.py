"""The papers' formulas in arbitrary precision: slow, plain, and with digits to spare where they cancel.

None of it is a port of the package's numerics. What the papers write as a difference of hypergeometric functions is
computed so, again with more digits until two precisions agree; where they divide by zero (a = 1, s = 1), a parameter
is moved by far less than double precision can tell.

Sources: Fader, Hardie and Lee (2005) for BG/NBD, equations 6, 8 to 10; Batislam et al. (2007) for MBG/NBD; Platzer and
Reutterer (2016) for CNBD-k; Schmittlein et al. (1987) and Fader and Hardie (2005), "A Note on Deriving the Pareto/NBD
Model", for Pareto/NBD; Fader, Hardie and Shang (2010) for BG/BB; Fader and Hardie (2013) for Gamma-Gamma.
"""

from __future__ import annotations

from functools import cache, wraps
from itertools import islice

from mpmath import mp, mpf
from mpmath.calculus.quadrature import GaussLegendre

DIGITS = 60
ENOUGH = mpf(10) ** -25
LIMIT = 2000
FEW = 50_000
PANEL = 4


def settled(function):
    """Repeat with more digits until two answers agree to 25."""

    @wraps(function)
    def repeated(*args, **kwargs):
        digits, before = DIGITS, None
        while digits <= LIMIT:
            with mp.workdps(digits):
                value = function(*map(mpf, args), **kwargs)
            if before is not None and abs(value - before) <= ENOUGH * abs(value):
                return value
            digits, before = 2 * digits, value
        raise ArithmeticError(f"{function.__name__}{args} does not settle within {LIMIT} digits")

    return repeated


def once(function):
    """Compute with 60 digits: every term is positive, and nothing cancels."""

    @wraps(function)
    def computed(*args, **kwargs):
        with mp.workdps(DIGITS):
            return function(*map(mpf, args), **kwargs)

    return computed


def nudge(value):
    """Move a parameter off a removable singularity by half the digits at hand."""
    return value + mpf(10) ** (-mp.dps // 2)


def negative_binomial(shape, reach):
    """Yield P(M = 0), P(M = 1), ... of a Poisson count with mean Gamma(shape, 1) x reach."""
    share, term, j = reach / (1 + reach), (1 + reach) ** -shape, 0
    while True:
        yield term
        term *= (shape + j) / (j + 1) * share
        j += 1


def tail(terms, n, shape, reach):
    """P(M >= n): one less the ``terms`` below n, or the sum of those above where that is small."""
    below = mp.fsum(terms[:n])
    if 1 - below > ENOUGH:
        return 1 - below
    total, term, share = mpf(0), terms[n], reach / (1 + reach)
    while term * (1 + reach) > ENOUGH * total:
        total += term
        term *= (shape + n) / (n + 1) * share
        n += 1
    return total


@cache
def _rule():
    """24 nodes: 25 digits on a panel of width 4, for functions analytic within |Im| < pi and without a narrow peak."""
    return GaussLegendre(mp).calc_nodes(4, mp.prec)


def _panels(function, low, high, width):
    count = int(mp.ceil((high - low) / width))
    half = (high - low) / count / 2
    return half * mp.fsum(
        weight * function(low + (2 * i + 1 + node) * half) for i in range(count) for node, weight in _rule()
    )


# BG/NBD, MBG/NBD and CNBD-k


def beta_geo_terms(x, t_x, T, r, alpha, a, b, k, modified):
    """Likelihoods of the history and being alive, and of the history and having left."""
    stays, events = x + modified, r + k * x
    scale = alpha**r / mp.gamma(r) / mp.gamma(k) ** x / mp.beta(a, b)
    silent = mp.fsum(
        (T - t_x) ** j / mp.factorial(j) * mp.gamma(events + j) / (alpha + T) ** (events + j) for j in range(k)
    )
    alive = scale * mp.beta(a, b + stays) * silent
    left = scale * mp.beta(a + 1, b + stays - 1) * mp.gamma(events) / (alpha + t_x) ** events if stays else mpf(0)
    return alive, left


@once
def beta_geo_log_likelihood(x, t_x, T, r, alpha, a, b, *, k=1, modified=False):
    return mp.log(sum(beta_geo_terms(x, t_x, T, r, alpha, a, b, k, modified)))


@once
def beta_geo_alive(x, t_x, T, r, alpha, a, b, *, k=1, modified=False):
    alive, left = beta_geo_terms(x, t_x, T, r, alpha, a, b, k, modified)
    return alive / (alive + left)


@once
def beta_geo_silent(horizon, x, t_x, T, r, alpha, a, b, *, k=1, modified=False):
    """Likelihood of the history prolonged by the horizon, over the history's."""
    longer = sum(beta_geo_terms(x, t_x, T + horizon, r, alpha, a, b, k, modified))
    return longer / sum(beta_geo_terms(x, t_x, T, r, alpha, a, b, k, modified))


@once
def beta_geo_count(n, t, r, alpha, a, b, *, k=1, modified=False):
    if t == 0:
        return mpf(n == 0)
    stays, first = n + modified, int(k * n)
    terms = list(islice(negative_binomial(r, t / alpha), first + k))
    value = mp.beta(a, b + stays) / mp.beta(a, b) * mp.fsum(terms[first:])
    if stays:
        value += mp.beta(a + 1, b + stays - 1) / mp.beta(a, b) * tail(terms, first, r, t / alpha)
    return value


@settled
def _beta_geo_ahead(t, shape, rate, a, b):
    """Purchases within t of a customer alive now whose p ~ Beta(a, b): equation 10 over P(alive)."""
    a = nudge(a)
    z = t / (rate + t)
    return (a + b - 1) / (a - 1) * (1 - (rate / (rate + t)) ** shape * mp.hyp2f1(shape, b, a + b - 1, z))


def _renewals_ahead(t, shape, rate, a, b, k, stages):
    """E[1 + v + ... + v^(floor((M + j) / k) - 1)] with M events within t, v = 1 - p and p ~ Beta(a, b).

    ``stages`` are the probabilities of the j; the shape of the rate in stage j is shape + j.
    """
    reach = t / rate
    if len(stages) * (shape + 60) * reach > FEW:
        return _renewals_by_quadrature(shape, reach, a, b, k, stages)
    return sum(w * _renewals_by_sum(shape + j, reach, a, b, k, j) for j, w in enumerate(stages) if w)


def _renewals_by_sum(shape, reach, a, b, k, stage):
    total, gained, stay, left_over, made = mpf(0), mpf(0), mpf(1), mpf(1), 0
    for m, probability in enumerate(negative_binomial(shape, reach)):
        while made < (m + stage) // k:
            gained, made = gained + stay, made + 1
            stay *= (b + made - 1) / (a + b + made - 1)
        total += probability * gained
        left_over -= probability
        if left_over * (gained + 1) * (reach + 1) < ENOUGH * total and m > k:
            break
    return total


def _renewals_by_quadrature(shape, reach, a, b, k, stages):
    """From the complex k-th roots of v, averaged over p; by log(p) below 1/2 and by log(v) above.

    Next to either end the function of p is constant. In either logarithm Beta(a, b) is a peak whose variance is at
    least half of 1 / min(a, b).
    """
    unit = [mp.expjpi(mpf(2 * c) / k) for c in range(k // 2 + 1)]

    def given(p, v):
        root, total = v ** (mpf(1) / k), mpf(0)
        for c, turn in enumerate(unit):
            w = root * turn
            steps = ((1 - 1 / v) / (1 - 1 / w) if c else sum(w**-i for i in range(k))) / k
            decay, power, silent = 1 / (1 + reach * (1 - w)), mpf(1), mpf(0)
            for weight in stages:
                silent, power = silent + weight * power, power * w * decay
            total += (1 if c == 0 or 2 * c == k else 2) * (steps * silent * decay**shape).real
        return (1 - total) / p

    def low(u):
        p = mp.exp(u)
        return given(p, 1 - p) * p**a * (1 - p) ** (b - 1)

    def high(u):
        v = mp.exp(u)
        return given(1 - v, v) * v**b * (1 - v) ** (a - 1)

    least_p, least_v = mpf(10) ** -20 / (1 + shape * reach), mpf(10) ** -20
    width = PANEL / mp.sqrt(2 + 2 * min(a, b))
    total = given(least_p, 1 - least_p) * least_p**a / a + _panels(low, mp.log(least_p), -mp.log(2), width)
    total += given(1 - least_v, least_v) * least_v**b / b + _panels(high, mp.log(least_v), -mp.log(2), width)
    return total / mp.beta(a, b)


@once
def beta_geo_expected(horizon, x, t_x, T, r, alpha, a, b, *, k=1, modified=False):
    alive, left = beta_geo_terms(x, t_x, T, r, alpha, a, b, k, modified)
    shape, b = r + k * x, b + x + modified
    if k == 1:
        ahead = _beta_geo_ahead(horizon, shape, alpha + T, a, b)
    else:
        stages = [mp.rf(shape, j) / mp.factorial(j) * ((T - t_x) / (alpha + T)) ** j for j in range(k)]
        ahead = _renewals_ahead(horizon, shape, alpha + T, a, b, k, [stage / sum(stages) for stage in stages])
    return alive / (alive + left) * ahead


@once
def beta_geo_new(t, r, alpha, a, b, *, k=1, modified=False):
    if t == 0:
        return mpf(0)
    stays, b_new = (b / (a + b), b + 1) if modified else (mpf(1), b)
    if k == 1:
        return stays * _beta_geo_ahead(t, r, alpha, a, b_new)
    return stays * _renewals_ahead(t, r, alpha, a, b_new, k, [mpf(1)])


# Pareto/NBD


@settled
def _pareto_left(x, t_x, T, r, alpha, s, beta):
    """s / (r + s + x) x A_0, the paper's difference of two hypergeometric functions."""
    if t_x == T:
        return mpf(0)
    alpha, s = nudge(alpha), nudge(s)
    total = r + s + x
    least, most, second = (beta, alpha, s + 1) if alpha >= beta else (alpha, beta, r + x)

    def part(t):
        return mp.hyp2f1(total, second, total + 1, (most - least) / (most + t)) / (most + t) ** total

    return s / total * (part(t_x) - part(T))


def _pareto_alive(x, T, r, alpha, s, beta):
    return 1 / ((alpha + T) ** (r + x) * (beta + T) ** s)


def _pareto_likelihood(x, t_x, T, r, alpha, s, beta):
    both = _pareto_alive(x, T, r, alpha, s, beta) + _pareto_left(x, t_x, T, r, alpha, s, beta)
    return mp.gammaprod([r + x], [r]) * alpha**r * beta**s * both


@once
def pareto_log_likelihood(x, t_x, T, r, alpha, s, beta):
    return mp.log(_pareto_likelihood(x, t_x, T, r, alpha, s, beta))


@once
def pareto_alive(x, t_x, T, r, alpha, s, beta):
    alive = _pareto_alive(x, T, r, alpha, s, beta)
    return alive / (alive + _pareto_left(x, t_x, T, r, alpha, s, beta))


@once
def pareto_silent(horizon, x, t_x, T, r, alpha, s, beta):
    longer = _pareto_likelihood(x, t_x, T + horizon, r, alpha, s, beta)
    return longer / _pareto_likelihood(x, t_x, T, r, alpha, s, beta)


@once
def pareto_count(n, t, r, alpha, s, beta):
    """Negative binomial while staying, and averaged over the time of leaving by quadrature in its logarithm."""
    if t == 0:
        return mpf(n == 0)
    choice = mp.gammaprod([r + n], [r, n + 1])

    def paced(y):
        return choice * (alpha / (alpha + y)) ** r * (y / (alpha + y)) ** n

    def leaving(u):
        y = mp.exp(u)
        return paced(y) * s * y / (beta + y) * (beta / (beta + y)) ** s

    def slope(u):
        y = mp.exp(u)
        return 1 + n * alpha / (alpha + y) - r * y / (alpha + y) - (s + 1) * y / (beta + y)

    peak = end = mp.log(t)
    if slope(end) < 0:
        low = end - 3000
        for _ in range(60):
            peak = (low + end) / 2
            low, end = (peak, end) if slope(peak) > 0 else (low, peak)
        end = mp.log(t)
    y = mp.exp(peak)
    bend = (n + r) * alpha * y / (alpha + y) ** 2 + (s + 1) * beta * y / (beta + y) ** 2 + slope(peak) ** 2
    width = min(3 / mp.sqrt(bend), PANEL)
    total = _outward(leaving, peak, -width, peak - 3000) + _outward(leaving, peak, width, end)
    return paced(t) * (beta / (beta + t)) ** s + total


def _outward(function, start, step, end):
    """Integrate panel by panel away from a peak, until nothing is added."""
    total = mpf(0)
    while start != end:
        stop = max(start + step, end) if step < 0 else min(start + step, end)
        added = _panels(function, *sorted((start, stop)), PANEL)
        total, start = total + added, stop
        if added < ENOUGH * total:
            break
        step *= min(mpf(3) / 2, PANEL / abs(step))
    return total


def _pareto_lifetime(t, s, beta):
    s = nudge(s)
    return beta / (s - 1) * (1 - (beta / (beta + t)) ** (s - 1))


@settled
def pareto_expected(horizon, x, t_x, T, r, alpha, s, beta):
    alive = _pareto_alive(x, T, r, alpha, s, beta)
    staying = alive / (alive + _pareto_left(x, t_x, T, r, alpha, s, beta))
    return staying * (r + x) / (alpha + T) * _pareto_lifetime(horizon, s, beta + T)


@settled
def pareto_new(t, r, alpha, s, beta):
    return r / alpha * _pareto_lifetime(t, s, beta)


# BG/BB


def _bg_bb_terms(x, t_x, n, alpha, beta, gamma, delta):
    """Likelihoods of the history and being alive at n, and of the history and having left before."""
    alive = mp.beta(alpha + x, beta + n - x) * mp.beta(gamma, delta + n)
    left, term = mpf(0), mp.beta(alpha + x, beta + t_x - x) * mp.beta(gamma + 1, delta + t_x)
    for i in range(int(n - t_x)):
        left += term
        last = t_x + i
        term *= (beta + last - x) / (alpha + beta + last) * (delta + last) / (gamma + delta + last + 1)
    scale = mp.beta(alpha, beta) * mp.beta(gamma, delta)
    return alive / scale, left / scale


@once
def bg_bb_log_likelihood(x, t_x, n, alpha, beta, gamma, delta):
    return mp.log(sum(_bg_bb_terms(x, t_x, n, alpha, beta, gamma, delta)))


@once
def bg_bb_alive(x, t_x, n, alpha, beta, gamma, delta):
    """Alive at n + 1."""
    alive, left = _bg_bb_terms(x, t_x, n, alpha, beta, gamma, delta)
    return alive / (alive + left) * (delta + n) / (gamma + delta + n)


@once
def bg_bb_silent(horizon, x, t_x, n, alpha, beta, gamma, delta):
    longer = sum(_bg_bb_terms(x, t_x, n + horizon, alpha, beta, gamma, delta))
    return longer / sum(_bg_bb_terms(x, t_x, n, alpha, beta, gamma, delta))


@once
def bg_bb_count(x, n, alpha, beta, gamma, delta):
    scale = mp.beta(alpha, beta) * mp.beta(gamma, delta)
    if x > n:
        return mpf(0)
    value = mp.binomial(n, x) * mp.beta(alpha + x, beta + n - x) * mp.beta(gamma, delta + n)
    term = mp.beta(alpha + x, beta) * mp.beta(gamma + 1, delta + x)
    for i in range(int(x), int(n)):
        value += term
        term *= mpf(i + 1) / (i + 1 - x) * (beta + i - x) / (alpha + beta + i) * (delta + i) / (gamma + delta + i + 1)
    return value / scale


@settled
def bg_bb_expected(horizon, x, t_x, n, alpha, beta, gamma, delta):
    """Equation 13."""
    likelihood = sum(_bg_bb_terms(x, t_x, n, alpha, beta, gamma, delta))
    gamma = nudge(gamma)
    buying = mp.beta(alpha + x + 1, beta + n - x) / mp.beta(alpha, beta)
    staying = mp.gammaprod([1 + delta + n], [gamma + delta + n])
    later = mp.gammaprod([1 + delta + n + horizon], [gamma + delta + n + horizon])
    return buying * delta / (gamma - 1) * mp.gammaprod([gamma + delta], [1 + delta]) * (staying - later) / likelihood


@settled
def bg_bb_new(n, alpha, beta, gamma, delta):
    gamma = nudge(gamma)
    falls = mp.gammaprod([gamma + delta, 1 + delta + n], [1 + delta, gamma + delta + n])
    return alpha / (alpha + beta) * delta / (gamma - 1) * (1 - falls)


# Gamma-Gamma


@once
def gamma_gamma_log_likelihood(x, m, p, q, gamma):
    """Equation 1a."""
    density = mp.gammaprod([p * x + q], [p * x, q]) * gamma**q * m ** (p * x - 1) * x ** (p * x)
    return mp.log(density / (gamma + m * x) ** (p * x + q))


@settled
def gamma_gamma_expected(x, m, p, q, gamma):
    """Equation 5."""
    q = nudge(q)
    own = p * x / (p * x + q - 1)
    return (1 - own) * gamma * p / (q - 1) + own * m
