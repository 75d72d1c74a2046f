"""Podium's stand-in for the Kestra server, for machines that cannot have the genuine one.

It answers the part of Kestra's HTTP API that Podium and its flows need, keeps flows and
executions in PostgreSQL, and runs the task types of `offline.kestra.tasks` for real. What it does
not know it refuses the way the server refuses what it does not know.
"""
