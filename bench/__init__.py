"""Benchmarks: what Podium takes, beside what the same takes without it in the same run."""
