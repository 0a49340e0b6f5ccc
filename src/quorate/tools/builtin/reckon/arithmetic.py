"""What does an expression of numbers come to, without running anything?"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from fractions import Fraction

from msgspec import Struct

from quorate.errors import ToolError

MAX_CHARS = 500
MAX_BITS = 20_000
MAX_SHOWN_DIGITS = 60
Number = Fraction | float

_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "ln": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
}
_EXACT = ("abs", "min", "max")
_ROUNDING: dict[str, Callable[[Number], int]] = {"floor": math.floor, "ceil": math.ceil, "round": round}
_CONSTANTS = {"pi": math.pi, "e": math.e}


class Calculation(Struct, frozen=True, kw_only=True):
    """What an expression comes to."""

    expression: str
    value: float
    text: str
    """The value in full: whole numbers with all digits, fractions as such."""
    is_exact: bool
    """Whether nothing was rounded on the way."""


def calculate(expression: str) -> Calculation:
    """Reckon with fractions as long as that is possible, and with floating-point numbers from then on.

    Raises:
        ToolError: It is no expression, or its value cannot be shown; the message says what may be written.
    """
    if len(expression) > MAX_CHARS:
        raise ToolError(f"The expression has {len(expression)} characters; at most {MAX_CHARS} are allowed.")
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
        value = _evaluate(tree.body)
        number = float(value)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ToolError(
            f"{expression[:100]!r} cannot be reckoned: {str(error)[:100]}. Write numbers with + - * / // % ** and "
            f"parentheses, and {', '.join((*_FUNCTIONS, *_EXACT, *_ROUNDING, *_CONSTANTS))}."
        ) from error
    except ZeroDivisionError as error:
        raise ToolError(f"{expression[:100]!r} divides by zero.") from error
    except OverflowError as error:
        raise ToolError(f"{expression[:100]!r} is too large a number to show.") from error
    if not math.isfinite(number):
        raise ToolError(f"{expression[:100]!r} is no finite number.")
    return Calculation(expression=expression, value=number, text=_show(value), is_exact=isinstance(value, Fraction))


def _show(value: Number) -> str:
    if isinstance(value, float):
        return repr(value)
    whole = value.denominator == 1
    if max(abs(value.numerator), value.denominator) >= 10**MAX_SHOWN_DIGITS:
        return repr(float(value))
    return str(value.numerator) if whole else f"{value.numerator}/{value.denominator}"


def _evaluate(node: ast.expr) -> Number:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        # The text of a float is what was meant: 0.1 is a tenth.
        return Fraction(str(node.value)) if math.isfinite(node.value) else float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _evaluate(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left), _evaluate(node.right)
        if isinstance(node.op, ast.Pow):
            return _raise(left, right)
        return _bound(_combine(node.op, left, right))
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords and node.args:
        return _call(node.func.id, [_evaluate(one) for one in node.args])
    raise ValueError(f"`{ast.unparse(node)[:60]}` is not allowed")


def _combine(sign: ast.operator, left: Number, right: Number) -> Number:
    match sign:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.FloorDiv():
            return (
                Fraction(left // right) if isinstance(left, Fraction) and isinstance(right, Fraction) else left // right
            )
        case ast.Mod():
            return left % right
        case _:
            raise ValueError("an operator is not allowed")


def _call(name: str, given: list[Number]) -> Number:
    if name in ("min", "max"):
        return min(given) if name == "min" else max(given)
    if name == "abs" and len(given) == 1:
        return abs(given[0])
    if len(given) == 1 and name in _ROUNDING:
        return Fraction(_ROUNDING[name](given[0]))
    if len(given) == 1 and name in _FUNCTIONS:
        return _FUNCTIONS[name](float(given[0]))
    raise ValueError(f"there is no function `{name[:40]}` of {len(given)} numbers")


def _raise(left: Number, right: Number) -> Number:
    if isinstance(left, Fraction) and isinstance(right, Fraction) and right.denominator == 1:
        exponent = right.numerator
        bits = max(left.numerator.bit_length(), left.denominator.bit_length())
        if abs(exponent) * bits > MAX_BITS:
            raise OverflowError
        return left**exponent
    found = float(left) ** float(right)
    if isinstance(found, complex):
        raise ValueError("a root of a negative number is not real")
    return found


def _bound(value: Number) -> Number:
    if isinstance(value, Fraction) and max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise OverflowError
    return value
