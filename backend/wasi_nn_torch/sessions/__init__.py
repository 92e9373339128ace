"""Running guests: what one may reach and use, and what it did."""
