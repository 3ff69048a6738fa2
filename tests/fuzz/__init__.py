"""Hostile inputs by the thousand, drawn from seeds and judged by what always holds. `python -m tests.fuzz --help`."""
