"""The skew-normal distribution: fitted, tested for its fit, and read far out in its tail.

With z = (x − location) / scale its density is 2 φ(z) Φ(shape · z) / scale. Perplexities of a model over all secrets of
a form are close to it, which is what lets an exposure be read beyond the rank among a sample.

Source: Azzalini (1985), "A class of distributions which includes the normal ones", sections 1 and 2.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import log_ndtr, ndtr, owens_t

from probes.protocol import Array

_STEEPEST_SHAPE = 30.0
"""Beyond it the density is half a normal one for all purposes; maximum likelihood may run away to infinity."""

_ITERATIONS, _STUCK, _FLAT = 40, 1e6, 1e-7
"""Most Newton steps; the damping and the gradient at which there is nothing more to climb."""

_FAR = 1e-5
"""Distribution function below which it is integrated in logarithms: Owen's T is exact to 1e-16, but not relatively."""


@dataclass(frozen=True)
class SkewNormal:
    """A skew-normal distribution.

    Attributes:
        location: ξ.
        scale: ω, positive.
        shape: α; 0 is the normal distribution, positive ones are skewed to the right.
    """

    location: float
    scale: float
    shape: float

    def log_cdf(self, x: Array) -> Array:
        """Natural logarithm of the distribution function; shape as `x`."""
        return _log_cdf((np.asarray(x, dtype=np.float64) - self.location) / self.scale, self.shape)

    def log_sf(self, x: Array) -> Array:
        """Natural logarithm of one minus the distribution function."""
        return _log_cdf((self.location - np.asarray(x, dtype=np.float64)) / self.scale, -self.shape)

    def sample(self, rng: np.random.Generator, size: tuple[int, ...]) -> Array:
        """Independent draws."""
        part = self.shape / np.sqrt(1 + self.shape**2)
        half, other = np.abs(rng.normal(size=size)), rng.normal(size=size)
        return np.asarray(self.location + self.scale * (part * half + np.sqrt(1 - part**2) * other))


def fitted(values: Array) -> SkewNormal:
    """The maximum-likelihood fit, |shape| at most 30.

    Args:
        values: Shape (R,), finite and not all equal.

    Raises:
        ValueError: Values that have no spread.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 3 or not np.ptp(values) > 0:
        raise ValueError("a skew-normal needs at least three values that are not all equal")
    return SkewNormal(*(float(parameter[0]) for parameter in _fits(values[None])))


def misfit(values: Array, distribution: SkewNormal) -> float:
    """Anderson and Darling's A²: how far the values lie from a distribution, the tails weighing most.

    Source: Anderson and Darling (1954), "A test of goodness of fit".
    """
    return float(_misfits(np.asarray(values, dtype=np.float64)[None], [distribution])[0])


@dataclass(frozen=True, eq=False)
class Refits:
    """Fits to samples drawn from a fit: what sampling alone does to its parameters and its misfit.

    Attributes:
        fits: One per draw.
        misfits: A² of each draw against its own fit, shape (B,).
    """

    fits: tuple[SkewNormal, ...]
    misfits: Array

    def p_value(self, seen: float) -> float:
        """Probability of a misfit at least as large if the skew-normal were true, the one seen counted in."""
        return float((1 + np.count_nonzero(self.misfits >= seen)) / (1 + len(self.misfits)))


@lru_cache(maxsize=16)
def refits(distribution: SkewNormal, n: int, *, draws: int, seed: int) -> Refits:
    """A parametric bootstrap.

    Args:
        distribution: The fit.
        n: Size of the sample it was fitted to.
        draws: Number of samples B.
        seed: Of the draws.

    Source: Stute, González Manteiga and Presedo Quindimil (1993), "Bootstrap based goodness-of-fit-tests".
    """
    samples = distribution.sample(np.random.default_rng(seed), (draws, n))
    fits = tuple(SkewNormal(*map(float, parameters)) for parameters in zip(*_fits(samples), strict=True))
    return Refits(fits=fits, misfits=_misfits(samples, fits))


def _fits(samples: Array) -> tuple[Array, Array, Array]:
    """Location, scale and shape of each of B samples of shape (B, R): damped Newton steps from the moments' fit."""
    mean, deviation = samples.mean(axis=1), samples.std(axis=1)
    x = (samples - mean[:, None]) / deviation[:, None]
    parameters = _moment_fit(np.clip((x**3).mean(axis=1), -0.95, 0.95))  # (B, 3): location, log scale, shape
    damping = np.full(len(x), 1e-3)
    likelihood, gradient, hessian = _likelihood(x, parameters)
    for _ in range(_ITERATIONS):
        curvature = -hessian + damping[:, None, None] * (np.abs(hessian).max(axis=(1, 2)) + 1)[:, None, None] * np.eye(
            3
        )
        moved = parameters + _solved(curvature, gradient)
        moved[:, 2] = np.clip(moved[:, 2], -_STEEPEST_SHAPE, _STEEPEST_SHAPE)
        new = _likelihood(x, moved)
        better = new[0] > likelihood
        parameters = np.where(better[:, None], moved, parameters)
        likelihood = np.where(better, new[0], likelihood)
        gradient = np.where(better[:, None], new[1], gradient)
        hessian = np.where(better[:, None, None], new[2], hessian)
        damping = np.where(better, damping / 10, damping * 10)
        if np.all((damping > _STUCK) | (np.abs(gradient).max(axis=1) < _FLAT)):
            break
    location, scale, shape = parameters.T
    return mean + deviation * location, deviation * np.exp(scale), shape


def _moment_fit(skewness: Array) -> Array:
    """Location, logarithm of the scale and shape of the skew-normal with mean 0, variance 1 and this skewness."""
    cube = (2 * np.abs(skewness) / (4 - np.pi)) ** (2 / 3)
    part = np.sign(skewness) * np.sqrt(np.pi / 2 * cube / (1 + cube))  # δ = α / √(1 + α²)
    scale = 1 / np.sqrt(1 - 2 * part**2 / np.pi)
    return np.stack([-scale * part * np.sqrt(2 / np.pi), np.log(scale), part / np.sqrt(1 - part**2)], axis=1)


def _likelihood(x: Array, parameters: Array) -> tuple[Array, Array, Array]:
    """Mean log-likelihood (B,), its gradient (B, 3) and its matrix of second derivatives (B, 3, 3)."""
    location, log_scale, shape = (column[:, None] for column in parameters.T)
    scale = np.exp(log_scale)
    z = (x - location) / scale
    u = shape * z
    tail = log_ndtr(u)
    w = np.exp(-(u**2) / 2 - tail) / np.sqrt(2 * np.pi)  # φ(u) / Φ(u)
    slope = -w * (u + w)
    value = (tail - z**2 / 2).mean(axis=1) - log_scale[:, 0]
    first = [(z - shape * w) / scale, z**2 - u * w - 1, z * w]
    second = [
        (shape**2 * slope - 1) / scale**2,
        (shape * w + z * (shape**2 * slope - 2)) / scale,
        -(w + u * slope) / scale,
        u * w + z**2 * (shape**2 * slope - 2),
        -z * (w + u * slope),
        z**2 * slope,
    ]
    gradient = np.stack([part.mean(axis=1) for part in first], axis=1)
    hessian = np.empty((len(x), 3, 3))
    for (i, j), part in zip(((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)), second, strict=True):
        hessian[:, i, j] = hessian[:, j, i] = part.mean(axis=1)
    return value, gradient, hessian


def _solved(matrices: Array, vectors: Array) -> Array:
    """The solution of each of B symmetric systems, eigenvalues made positive so that every step climbs."""
    values, axes = np.linalg.eigh(matrices)
    along = np.einsum("bji,bj->bi", axes, vectors) / np.maximum(np.abs(values), 1e-12)
    return np.asarray(np.einsum("bij,bj->bi", axes, along))


def _misfits(samples: Array, distributions: "tuple[SkewNormal, ...] | list[SkewNormal]") -> Array:
    ordered = np.sort(samples, axis=1)
    n = ordered.shape[1]
    weights = (2 * np.arange(1, n + 1) - 1) / n
    below = np.stack([d.log_cdf(row) for d, row in zip(distributions, ordered, strict=True)])
    above = np.stack([d.log_sf(row) for d, row in zip(distributions, ordered, strict=True)])
    return np.asarray(-n - (weights * (below + above[:, ::-1])).sum(axis=1))


def _log_cdf(z: Array, shape: float) -> Array:
    plain = ndtr(z) - 2 * owens_t(z, shape)
    far = plain < _FAR
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(plain)
    if far.any():
        found[far] = _log_tail(z[far], shape)
    return found


def _log_tail(z: Array, shape: float) -> Array:
    """Logarithm of ∫ 2 φ(t) Φ(shape · t) dt up to z, far out on the left.

    The density is log-concave, so that to the left of z it falls at least as fast as an exponential of its own slope
    there: in that exponential's scale the integrand is smooth, and Gauss–Laguerre nodes take it to many digits.
    """

    def log_density(t: Array) -> Array:
        return np.asarray(np.log(2 / np.sqrt(2 * np.pi)) - t**2 / 2 + log_ndtr(shape * t))

    u = shape * z
    rate = -z + shape * np.exp(-(u**2) / 2 - log_ndtr(u)) / np.sqrt(2 * np.pi)
    nodes, weights = np.polynomial.laguerre.laggauss(48)
    at = log_density(z)
    rest = log_density(z[:, None] - nodes / rate[:, None]) - at[:, None] + nodes
    return np.asarray(at - np.log(rate) + np.log(np.exp(rest) @ weights))
