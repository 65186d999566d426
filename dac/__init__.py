"""DaC: divide-and-conquer training of neural radiance fields.

Importing the package imports nothing heavy: the stages live in `dac.scenes`, `dac.divide`,
`dac.training`, `dac.conquer`, `dac.evaluation` and `dac.report`.
"""

__version__ = "0.1.0"
