"""The page of one scene: what was done, what came of it, in one file that can be sent to anybody.

One file a section; `write.py` puts them together. Every number is of the records, and every
statistic of `dac/report/`: nothing is computed anew here.
"""
