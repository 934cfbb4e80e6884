"""A function explained to a reader: its formulas, what they are at a point, and their rules."""
