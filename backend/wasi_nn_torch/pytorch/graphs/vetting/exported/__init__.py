"""The parts of the check of guest-supplied exported programs, for `check_exported` only."""
