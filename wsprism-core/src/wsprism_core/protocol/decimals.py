"""Exact decimals: a mantissa, which is an integer, and how many places it has.

With 3 places 1.5 is the mantissa 1500. Nothing here rounds.
"""

from __future__ import annotations

from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from decimal import Overflow as DecimalOverflow
from typing import Final

__all__ = ("to_decimal", "to_mantissa")

#: Wider than 64 bits at any scale in use, and narrow enough that `1e999999999` is an
#: error at once and not an integer of a billion digits.
_EXACT: Final = Context(
    prec=64, Emax=64, Emin=-64, traps=[Inexact, InvalidOperation, DecimalOverflow]
)


def to_decimal(mantissa: int, places: int) -> Decimal:
    """Return the decimal that a mantissa stands for, with all its places."""
    # The constructor is exact in every context; `scaleb` rounds to the current one.
    return Decimal(f"{mantissa}e-{places}")


def to_mantissa(value: Decimal | str | int, places: int) -> int:
    """Return the mantissa of a decimal.

    Raises:
        ValueError: It is no number, has more than `places` decimal places, or more than
            64 digits.
    """
    try:
        number = _EXACT.create_decimal(value).scaleb(places, _EXACT)
        return int(number.to_integral_exact(context=_EXACT))
    except (DecimalException, OverflowError, ValueError):
        raise ValueError(f"{value!r} is no decimal of {places} places") from None
