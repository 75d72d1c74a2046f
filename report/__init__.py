"""The page that shows what is in the warehouse."""
