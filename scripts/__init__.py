"""What the commands of the Makefile do."""
