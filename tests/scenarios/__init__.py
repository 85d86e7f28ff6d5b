"""Judged scenarios: what is broken, what must be named, what must help, what must stay untouched; as data and a runner."""
