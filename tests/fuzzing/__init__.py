"""Damaged input by the million: what ndzarr makes of it, judged in a process that may crash, hang or run out of memory.

`python -m tests.fuzzing` prints a table; `tests/test_fuzzing.py` runs a little of it, and all that was ever found.
"""
