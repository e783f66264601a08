"""The operators' pages. Each view reads a few rows and shows them, or calls a verb of the lifecycle and goes back."""
