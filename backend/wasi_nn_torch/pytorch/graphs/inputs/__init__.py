"""The inputs and outputs of models: their names, kinds and dtypes, and how they are nested."""
