"""The embedded lab: the real systems that a runbook talks to, on loopback, broken and healed on purpose.

``python -m tests.lab up|down|status|break|heal|inventory|journal`` (see ``__main__``).
Nothing of the product imports this package, and this package imports nothing of the product.
"""
