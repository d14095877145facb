"""Inputs nobody would think of, for everything that reads what strangers send: a minute of it in `make test`.

`python -m tests.fuzz --minutes 60` goes on with the same targets for as long as it is told to.
"""
