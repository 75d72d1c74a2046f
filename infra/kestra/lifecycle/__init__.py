"""What the providers do. It runs in the provider's process, and is imported when called."""
