"""Checks of the exercises: what is right, what is a usual mistake, and where to look again.

``check("01.2", answer)`` says whether an answer is right; ``expects("01.2")`` what to hand in;
``progress()`` what has been solved since the kernel started. The exercises of a notebook stand in
the module of its number, ``notebook_01`` to ``notebook_11``.
"""

from .core import Verdict, check, expects, progress

__all__ = ["Verdict", "check", "expects", "progress"]
