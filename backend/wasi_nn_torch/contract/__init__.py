"""All that a backend imports; free of torch, and of everything above."""
