"""The components of Podium: each file declares one part of the platform."""
