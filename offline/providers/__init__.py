"""Offline providers: Pulumi providers for machines that cannot download the official plugins."""
