"""The HTTP API: one module per resource, `routing` between them and the web framework."""
