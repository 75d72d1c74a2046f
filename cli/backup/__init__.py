"""Backup and restore of a stack: one archive with everything that a new machine needs.

`create` writes an archive, `restore` brings a stack up from it, and `verify` checks the result.
"""
