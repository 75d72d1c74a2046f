"""The same program where no image registry or plugin download is reachable."""
