"""How likely is a value as large as this one by chance alone?"""

from __future__ import annotations

import math

MOST_TERMS = 1_000
_TINY = 1e-300
_CLOSE = 1e-12


def survive_chi_square(value: float, degrees: int) -> float:
    """Return how likely a chi-square value is reached by chance.

    The regularised upper incomplete gamma function, by its series below and Lentz's continued fraction above
    (Abramowitz & Stegun, *Handbook of Mathematical Functions*, 6.5.29 and 6.5.31).
    """
    if value <= 0 or degrees <= 0:
        return 1.0
    shape, point = degrees / 2, value / 2
    front = math.exp(shape * math.log(point) - point - math.lgamma(shape))
    if point < shape + 1:
        term = total = 1 / shape
        for number in range(1, MOST_TERMS):
            term *= point / (shape + number)
            total += term
            if term < total * _CLOSE:
                break
        return max(0.0, 1 - front * total)
    below = point + 1 - shape
    upper, lower = 1 / _TINY, 1 / below
    fraction = lower
    for number in range(1, MOST_TERMS):
        step = -number * (number - shape)
        below += 2
        lower = 1 / (step * lower + below or _TINY)
        upper = below + step / upper or _TINY
        fraction *= lower * upper
        if abs(lower * upper - 1) < _CLOSE:
            break
    return min(1.0, front * fraction)


def survive_kolmogorov(distance: float, effective: float) -> float:
    """Return how likely two samples are so far apart by chance (Kolmogorov 1933, Smirnov 1948).

    Args:
        distance: The largest difference of their shares below a value.
        effective: `n · m / (n + m)` of samples of n and m.

    The limit law, with the correction for finite samples of M. A. Stephens (JRSS B 32, 1970).
    """
    root = math.sqrt(effective)
    scaled = (root + 0.12 + 0.11 / root) * distance if effective > 0 else 0.0
    if scaled < 0.2:
        return 1.0
    total = 0.0
    for number in range(1, 101):
        term = math.exp(-2 * number * number * scaled * scaled)
        total += term if number % 2 else -term
        if term < _CLOSE:
            break
    return min(1.0, max(0.0, 2 * total))
