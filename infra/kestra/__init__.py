"""Kestra: its server, the client of its API and its flows as resources."""
