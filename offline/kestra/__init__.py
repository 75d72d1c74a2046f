"""Kestra without its image: its own engine from Maven, with an API and a page of Podium's."""
