"""What the check of a guest's exported program is made of. Only `check_exported` imports it."""
