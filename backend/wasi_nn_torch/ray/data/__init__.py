"""Guests as functions on the batches and rows of a dataset of Ray Data."""
