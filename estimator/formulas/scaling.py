"""Scaling laws: loss from parameters and tokens, and the tokens worth training on. Symbols follow the papers.

N parameters [1], D training tokens [token], C compute [FLOP], E A B alpha beta the fitted constants of
L(N, D) = E + A/N^alpha + B/D^beta (arXiv:2203.15556 equation 2; constants refitted in arXiv:2404.10102).
Validity: fitted on 70M-16B parameters and up to 500B tokens unless said otherwise; far beyond is extrapolation.
"""

import numpy as np

from estimator.formulas import Real


def loss(N: Real, D: Real, E: Real, A: Real, B: Real, alpha: Real, beta: Real) -> Real:
    """Expected final loss of one epoch over fresh tokens [nat/token].

    Validity: fitted on 70M-16B parameters and up to 500B tokens of MassiveText.
    Source: arXiv:2203.15556 equation 2; constants of arXiv:2404.10102 equation 5.

    >>> round(float(loss(70e9, 1.4e12, 1.8169, 482.0, 2085.4, 0.3478, 0.3659)), 3)
    1.973
    """
    n, d = N, D
    return E + A / n**alpha + B / d**beta


def optimal_tokens(N: Real, A: Real, B: Real, alpha: Real, beta: Real) -> Real:
    """Tokens at which N parameters are compute-optimal [token]: on the frontier alpha A N^-alpha = beta B D^-beta.

    Source: arXiv:2203.15556 equation 4, solved for D at given N.

    >>> round(float(optimal_tokens(70e9, 482.0, 2085.4, 0.3478, 0.3659)) / 70e9, 1)  # tokens per parameter
    18.3
    """
    n = N
    ratio = beta * B / (alpha * A)
    return (ratio * n**alpha) ** (1 / beta)


def optimal_params(C: Real, A: Real, B: Real, alpha: Real, beta: Real) -> Real:
    """Compute-optimal parameters for a budget of C = 6 N D [1].

    Source: arXiv:2203.15556 equation 4: N_opt = G (C/6)^(beta/(alpha+beta)), G = (alpha A / (beta B))^(1/(alpha+beta)).

    >>> f"{float(optimal_params(5.76e23, 482.0, 2085.4, 0.3478, 0.3659)):.2e}"  # Gopher's budget
    '7.25e+10'
    """
    a, b = alpha, beta
    G = (a * A / (b * B)) ** (1 / (a + b))
    return G * (C / 6) ** (b / (a + b))


def effective_tokens(D: Real, unique_tokens: Real, R_star: Real) -> Real:
    """Fresh tokens that D tokens over a smaller unique corpus are worth [token].

    R_star: repeats at which a further repeat's worth has decayed by 1/e [1]
    Validity: up to 9B parameters and 900B tokens, C4 and like text.
    Source: arXiv:2305.16264 equation 5: D' = U + U R* (1 - exp(-R/R*)), R = D/U - 1 (no loss up to D = U).

    >>> f"{float(effective_tokens(4e9, 1e9, 15.387756)):.3e}"  # four epochs are nearly as good as fresh data
    '3.726e+09'
    """
    d, u = D, unique_tokens
    repeats = np.maximum(d / u - 1, 0)
    repeated = u * R_star * -np.expm1(-repeats / R_star)
    return np.where(d <= u, d, u + repeated)


def batch_tokens(C: Real, coefficient: Real, exponent: Real) -> Real:
    """Tokens of an optimizer step that a compute budget of C FLOP is best spent in [token]: a C^b.

    Source: arXiv:2401.02954 section 3.1 equation 1 (a = 0.2920, b = 0.3271; C in non-embedding FLOP).

    >>> round(float(batch_tokens(6.8e21, 0.2920, 0.3271)) / 1e6, 1)  # a 7B model on 150B tokens
    4.0
    """
    return coefficient * C**exponent
