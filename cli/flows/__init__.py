"""Flows before they run: rules for their texts, and their tests on Kestra's engine."""
