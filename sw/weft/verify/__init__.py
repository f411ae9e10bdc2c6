"""The verifier: refuses a program whose result could depend on time, or that could stop.

What it accepts gives one memory image on every backend. A program that it refuses has no defined
result. The checks, by the name of their rule:

``field``        a field that the decoders refuse, or clamp bounds in the wrong order
``end``          the last instruction, and no other, is END
``size``         a MATMUL of more rows or tiles than any memory has use for, a tensor of many pieces
``range``        an address outside its memory or the arena
``program``      a store over the program itself or over its constants
``semaphore``    two posting or two waiting units, or a count that may exceed its maximum
``deadlock``     instructions that wait for each other, with the real depths of the queues
``hazard``       two accesses of one address, one of them a write, that nothing orders
``accumulator``  an accumulator row in flight twice
``undefined``    weights, parameters, tables, accumulators, settings or bytes of the arena used
                 before they are written; an output that is not written whole
``weights``      a load of weights of which one may be -128
``patches``      more combinations of values of patches than are verified
"""

from .program import verify

__all__ = ["verify"]
