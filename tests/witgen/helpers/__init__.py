"""Random WIT, and the program that tests compare witgen with."""
