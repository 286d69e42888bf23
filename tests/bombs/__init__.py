"""Bombs: small stores that would decode to gigabytes. `python -m tests.bombs` reads each in a process of its own."""
