"""Pulumi provider drivers for where the genuine plugins cannot be had."""
