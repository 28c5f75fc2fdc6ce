# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
r"""LaTeX formulas as signs that speech synthesis knows: `\frac{a}{b} \times 2^n` is `a / b × 2^n`."""

from __future__ import annotations

import re

from tinychat_core.speech.languages import word_set

_SIGNS = {
    'times': '×', 'cdot': '·', 'div': '÷', 'pm': '±', 'mp': '∓', 'approx': '≈', 'neq': '≠', 'ne': '≠', 'le': '≤',
    'leq': '≤', 'ge': '≥', 'geq': '≥', 'equiv': '≡', 'propto': '∝', 'infty': '∞', 'sqrt': '√', 'sum': '∑', 'prod':
    '∏', 'int': '∫', 'partial': '∂', 'nabla': '∇', 'in': '∈', 'notin': '∉', 'subset': '⊂', 'cup': '∪', 'cap': '∩',
    'forall': '∀', 'exists': '∃', 'to': '→', 'rightarrow': '→', 'Rightarrow': '⇒', 'implies': '⇒', 'circ': '°',
    'degree': '°', 'ldots': '…', 'cdots': '…', 'dots': '…', 'alpha': 'α', 'beta': 'β', 'gamma': 'γ', 'delta': 'δ',
    'epsilon': 'ε', 'varepsilon': 'ε', 'zeta': 'ζ', 'eta': 'η', 'theta': 'θ', 'iota': 'ι', 'kappa': 'κ', 'lambda':
    'λ', 'mu': 'μ', 'nu': 'ν', 'xi': 'ξ', 'pi': 'π', 'rho': 'ρ', 'sigma': 'σ', 'tau': 'τ', 'upsilon': 'υ', 'phi': 'φ',
    'varphi': 'φ', 'chi': 'χ', 'psi': 'ψ', 'omega': 'ω', 'Gamma': 'Γ', 'Delta': 'Δ', 'Theta': 'Θ', 'Lambda': 'Λ',
    'Pi': 'Π', 'Sigma': 'Σ', 'Phi': 'Φ', 'Psi': 'Ψ', 'Omega': 'Ω',
}
_SILENT = word_set(
    'left right big Big bigg Bigg text textbf mathrm mathbf mathit mathbb mathcal mathsf operatorname boxed '
    'displaystyle limits quad qquad begin end vec hat bar overline underline boldsymbol label nonumber')
_POWERS = str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹')
_FRACTION = re.compile(r'\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}')
_POWER = re.compile(r'\^(?:\{(\d{1,3})\}|(\d))')
_COMMAND = re.compile(r'\\([a-zA-Z]+)\*?\s*|\\(.)')


def spoken(formula: str) -> str:
    """Return a formula as text without typesetting commands; nested fractions keep their signs."""
    for _ in range(3):
        formula, count = _FRACTION.subn(r'\1 / \2', formula)
        if not count:
            break
    formula = formula.replace('\\circ', '°').replace('^°', '°').replace('^{°}', '°')
    formula = _POWER.sub(lambda power: (power[1] or power[2]).translate(_POWERS), formula)
    formula = _COMMAND.sub(_sign, formula)
    return re.sub(r'\s+', ' ', re.sub(r'[&$_~]', ' ', re.sub('[{}]', '', formula))).strip()


def _sign(command: re.Match[str]) -> str:
    name, sign = command[1], command[2]
    if name is None:
        return f' {sign}' if sign in '%$#&_' else ' '
    if name in _SILENT:
        return ''
    sign = _SIGNS.get(name, name)
    return sign if sign in '√°' else f' {sign} '
